/**
 * The typed client of a manager: every operation under its wire name.
 *
 * `Effect.provide(effect, Client.layer({ url: "http://127.0.0.1:5001" }))`. A call fails with the manager's error, or with
 * `RpcClientError` when there is no manager to be reached; nothing is repeated by itself.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ManagerError, PermissionDenied, Unauthenticated } from "../domain/Errors.js"
import {
  type Method,
  STREAM_METHODS,
  type StreamMethod,
  type StreamTypes,
  UNARY_METHODS,
  type UnaryMethod,
  type UnaryTypes
} from "../domain/Methods.js"
import { type ClientOptions, http, socket } from "./ClientProtocol.js"
import { ManagerRpcs } from "./ManagerRpcs.js"
import { encodablePayload } from "./RequestDecoding.js"
import { StreamStarts } from "./StreamStart.js"

export type { ClientOptions } from "./ClientProtocol.js"

/** What a call can fail with: an error of the manager, or a connection to it that does not work. */
export type CallError = ManagerError | RpcClientError

type Unary = {
  readonly [K in UnaryMethod]: (request: UnaryTypes[K][0]) => Effect.Effect<UnaryTypes[K][1], CallError>
}
type Streams = {
  /** Ends the call when the stream is no longer read. */
  readonly [K in StreamMethod]: (request: StreamTypes[K][0]) => Stream.Stream<StreamTypes[K][1], CallError>
}

/** The typed client of a running manager: every operation under its name. */
export class ManagerClient extends Context.Tag("websocketmanager/api/rpc/ManagerClient")<
  ManagerClient,
  Unary &
    Streams & {
      /** Done when the stream has begun: whatever happens from then on is delivered, or counted in a later `missed`. */
      readonly open: <K extends StreamMethod>(
        method: K,
        request: StreamTypes[K][0]
      ) => Effect.Effect<Stream.Stream<StreamTypes[K][1], CallError>, CallError, Scope.Scope>
    }
>() {}

/** What any method of the RPC client is, seen without its name. */
interface AnyClient {
  readonly unary: (method: string, request: unknown) => Effect.Effect<unknown, CallError>
  readonly mailbox: (
    method: string,
    request: unknown,
    headers: Record<string, string>
  ) => Effect.Effect<Mailbox.ReadonlyMailbox<unknown, CallError>, never, Scope.Scope>
}

/** A refused token is the manager's own error, not a broken link. */
const unwrap = (error: CallError): CallError =>
  error._tag === "RpcClientError" && (error.cause instanceof Unauthenticated || error.cause instanceof PermissionDenied)
    ? error.cause
    : error

const make = (
  protocol: Effect.Effect<RpcClient.Protocol["Type"], never, Scope.Scope>,
  opened: StreamStarts | undefined
) =>
  Effect.gen(function* () {
    const flat = (yield* RpcClient.make(ManagerRpcs, { flatten: true }).pipe(
      Effect.provideServiceEffect(RpcClient.Protocol, protocol)
    )) as (method: string, request: unknown, options?: object) => never
    const client: AnyClient = {
      unary: (method, request) => flat(method, request),
      mailbox: (method, request, headers) => flat(method, request, { asMailbox: true, headers })
    }
    const checked = <A, R>(method: Method, request: unknown, call: () => Effect.Effect<A, CallError, R>) =>
      Effect.suspend(() => {
        const wrong = Either.flip(encodablePayload(method, request))
        return Either.isRight(wrong) ? Effect.fail<CallError>(wrong.right) : Effect.mapError(call(), unwrap)
      })

    const open = (method: StreamMethod, request: unknown) =>
      checked(method, request, () =>
        Effect.map(
          opened === undefined
            ? Effect.tap(client.mailbox(method, request, {}), (mailbox) => mailbox.await)
            : opened.open((headers) => client.mailbox(method, request, headers)),
          (mailbox) => Stream.mapError(Mailbox.toStream(mailbox), unwrap)
        )
      )

    const members: Record<string, unknown> = { open }
    for (const method of UNARY_METHODS) {
      members[method] = (request: unknown) => checked(method, request, () => client.unary(method, request))
    }
    for (const method of STREAM_METHODS) {
      members[method] = (request: unknown) => Stream.unwrapScoped(open(method, request))
    }
    return members as unknown as ManagerClient["Type"]
  })

/** Over `/rpc/ws`: one socket for all calls, streams with back-pressure. */
export const layer = (options: ClientOptions): Layer.Layer<ManagerClient> =>
  Layer.scoped(
    ManagerClient,
    Effect.suspend(() => {
      const opened = new StreamStarts()
      return make(socket(options, opened), opened)
    })
  )

/** Over `POST /rpc`: unary calls only, one HTTP exchange each; the streams answer NotAvailable. */
export const layerHttp = (options: ClientOptions): Layer.Layer<ManagerClient> =>
  Layer.scoped(ManagerClient, make(http(options), undefined))
