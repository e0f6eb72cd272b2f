/**
 * The RPC group as one exchange of bytes (`POST /rpc`): requests in, their answers out, unary calls only. HTTP has no
 * back-pressure, so the streams answer NotAvailable.
 */
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as Rpc from "@effect/rpc/Rpc"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { InvalidRequest, NotAvailable } from "../../domain/Errors.js"
import { isStreamMethod, type UnaryMethod, type UnaryTypes } from "../../domain/Methods.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import * as Executor from "../../manager/Executor.js"
import type { StreamQuota } from "../../manager/StreamQuota.js"
import type { Metrics } from "../../observability/Metrics.js"
import { doorSpan } from "../../observability/Spans.js"
import { ManagerRpcs } from "../../rpc/ManagerRpcs.js"
import { NotMessagePack } from "../../rpc/MsgPackScan.js"
import { decodePayload, judge, type KnownRequest } from "../../rpc/RequestDecoding.js"
import { bodies, died, failed } from "../../rpc/Serialization.js"

/** Calls of one body that run at the same time. */
const CONCURRENCY = 16

const encodeExit = new Map(
  [...ManagerRpcs.requests].map(([tag, rpc]) => [
    tag,
    Schema.encodeUnknownSync(Rpc.exitSchema(rpc) as Schema.Schema<unknown, ExitEncoded>)
  ])
)
type ExitEncoded = Extract<FromServerEncoded, { _tag: "Exit" }>["exit"]

export type HttpRpc = (body: Uint8Array) => Effect.Effect<Uint8Array, InvalidRequest>

export const make: Effect.Effect<HttpRpc, never, ConnectionManager | Metrics | StreamQuota> = Effect.gen(function* () {
  const executor = yield* Executor.make("rpc-http")

  const answer = (request: KnownRequest): Effect.Effect<FromServerEncoded> => {
    const { id, tag } = request
    if (isStreamMethod(tag)) {
      return Effect.succeed(
        failed(id, new NotAvailable({ feature: tag, reason: "streams need back-pressure: use /rpc/ws" }))
      )
    }
    const payload = Either.getOrThrow(decodePayload(tag, request.payload)) as UnaryTypes[UnaryMethod][0]
    const { sampled, spanId, traceId } = request
    const parent =
      traceId === undefined || spanId === undefined
        ? undefined
        : Tracer.externalSpan({ traceId, spanId, sampled: sampled === true })
    return (executor.call as (method: UnaryMethod, request: unknown) => Effect.Effect<unknown, unknown>)(
      tag,
      payload
    ).pipe(
      doorSpan(`RpcServer.${tag}`, parent),
      Effect.exit,
      Effect.map((exit): FromServerEncoded => ({ _tag: "Exit", requestId: id, exit: encodeExit.get(tag)!(exit) })),
      Effect.catchAllDefect((defect) => Effect.succeed(died(id, defect)))
    )
  }

  const refused = (reason: string) => Either.left(new InvalidRequest({ field: "body", reason }))

  const parse = (body: Uint8Array): Either.Either<ReadonlyArray<ReturnType<typeof judge>>, InvalidRequest> => {
    let messages: ReadonlyArray<unknown>
    try {
      messages = bodies.unsafeMake().decode(body)
    } catch (error) {
      return refused(error instanceof NotMessagePack ? error.message : "cannot be decoded")
    }
    const judged = messages.map(judge)
    const malformed = judged.find((j) => j._tag === "Malformed")
    return malformed === undefined ? Either.right(judged) : refused(malformed.reason)
  }

  return (body) =>
    Effect.gen(function* () {
      const judged = yield* parse(body)
      const answers = yield* Effect.forEach(
        judged,
        (j) =>
          j._tag === "Request"
            ? Effect.asSome(answer(j.request))
            : j._tag === "Refused"
              ? Effect.succeedSome(failed(j.requestId, j.error))
              : Effect.succeedNone,
        { concurrency: CONCURRENCY }
      )
      const parser = bodies.unsafeMake()
      const encoded = answers.flatMap((a) => (a._tag === "Some" ? [parser.encode(a.value) as Uint8Array] : []))
      return encoded.length === 1 ? encoded[0]! : Buffer.concat(encoded)
    })
})
