/**
 * One WebSocket to one peer, and the RPC client on it. When it breaks, all its calls fail at once.
 *
 * A peer that is there answers a ping, or sends or takes something else. A peer that does none of it for a while is given
 * up on this socket. Its silence proves nothing about it, but no call waits for it here any longer.
 */
import * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type { FromServerEncoded } from "@effect/rpc/RpcMessage"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import type { Socket } from "node:net"
import type { RawData, WebSocket } from "ws"
import type { ManagerError } from "../../domain/Errors.js"
import { type PeerFailure, PeerSilent } from "../../ports/Peers.js"
import { PeerRpcs } from "../../rpc/PeerRpcs.js"
import { answers } from "../../rpc/Serialization.js"
import { StreamStarts } from "../../rpc/StreamStart.js"
import { dial, type DialOptions } from "./Dial.js"

export interface PeerSocketOptions extends DialOptions {
  /** milliseconds between two pings */
  readonly pingMs: number
  /** pings in a row after which a peer that shows no life is given up */
  readonly silentPings: number
}

type Headers = Readonly<Record<string, string>>

export interface PeerSocket {
  /** One answer; fails as a `PeerSilent` in the RpcClientError's cause when the socket breaks. */
  readonly unary: (
    method: string,
    request: unknown,
    headers: Headers
  ) => Effect.Effect<unknown, ManagerError | RpcClientError>
  readonly mailbox: (
    method: string,
    request: unknown,
    headers: Headers
  ) => Effect.Effect<Mailbox.ReadonlyMailbox<unknown, ManagerError | RpcClientError>, never, Scope.Scope>
  readonly opened: StreamStarts
  readonly isOpen: () => boolean
  /** Done when the socket has ended: `broke` by the peer or its host, or `silent` because it was given up. */
  readonly ended: Effect.Effect<"broke" | "silent">
}

const bytesOf = (data: RawData): Uint8Array =>
  Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? new Uint8Array(data) : data

/** Dials, and keeps the socket until the scope closes. */
export const make = (
  address: string,
  options: PeerSocketOptions
): Effect.Effect<PeerSocket, PeerFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<"broke" | "silent">()
    const fork = yield* FiberSet.makeRuntime()
    const opened = new StreamStarts()
    const ws = yield* dial(address, options)
    let givenUp = false

    const failure = (reason: string, sent: boolean) => {
      const cause = new PeerSilent({ address, reason, sent })
      return new RpcClientError({ reason: "Protocol", message: reason, cause })
    }
    const protocol = yield* RpcClient.Protocol.make((write) => {
      const parser = answers.unsafeMake()
      const pass = (message: FromServerEncoded) => {
        const passed = opened.incoming(message)
        if (passed !== undefined) fork(write(passed))
      }
      ws.on("message", (data) => {
        // after bytes that cannot be decoded, or are no message of this protocol, the rest of the stream is not waited for
        try {
          for (const message of parser.decode(bytesOf(data))) pass(message as FromServerEncoded)
        } catch {
          ws.terminate()
        }
      })
      const onClose = (code: number) => {
        const reason = givenUp
          ? "it answers no pings"
          : code === 1001
            ? "it is stopping"
            : `the link to it broke (${code})`
        pass({ _tag: "ClientProtocolError", error: failure(reason, true) })
        Deferred.unsafeDone(ended, Effect.succeed(givenUp ? "silent" : "broke"))
      }
      ws.on("close", onClose)
      if (ws.readyState === ws.CLOSED) onClose(1006)
      return Effect.succeed({
        send: (message) =>
          Effect.async<void, RpcClientError>((resume) => {
            if (ws.readyState !== ws.OPEN) return resume(failure("the link to it broke", false))
            opened.outgoing(message)
            // what cannot be written ends the socket, which fails every call
            ws.send(parser.encode(message) as Uint8Array, () => resume(Effect.void))
          }),
        supportsAck: true,
        supportsTransferables: false
      })
    })
    const call = (yield* RpcClient.make(PeerRpcs, { flatten: true, spanPrefix: "Peer" }).pipe(
      Effect.provideService(RpcClient.Protocol, protocol)
    )) as (method: string, request: unknown, options: object) => never

    yield* Effect.forkScoped(
      watch(ws, options, () => {
        givenUp = true
        ws.terminate()
      })
    )
    return {
      unary: (method, request, headers) => call(method, request, { headers }),
      mailbox: (method, request, headers) => call(method, request, { asMailbox: true, headers }),
      opened,
      isOpen: () => ws.readyState === ws.OPEN,
      ended: Deferred.await(ended)
    }
  })

/**
 * Counted in pings, not in time: an instance that was itself stopped for a while has heard nothing, and that says nothing
 * of the peer.
 */
const watch = (ws: WebSocket, { pingMs, silentPings }: PeerSocketOptions, giveUp: () => void): Effect.Effect<void> => {
  const socket = (ws as unknown as { readonly _socket: Socket })._socket
  let read = -1
  let unwritten = 0
  let silent = 0
  return Effect.sync(() => {
    const lives = socket.bytesRead !== read || socket.writableLength < unwritten
    read = socket.bytesRead
    unwritten = socket.writableLength
    silent = lives ? 0 : silent + 1
    if (silent > silentPings) return giveUp()
    if (ws.readyState === ws.OPEN) ws.ping()
  }).pipe(Effect.zipRight(Effect.sleep(pingMs)), Effect.forever, Effect.interruptible)
}
