/**
 * The RPC server's protocol over `ws` sockets that were already let in.
 *
 * Written on `ws` itself, because of four faults of the stock protocol. It takes messages of any size up to 100 MiB, and
 * never waits for a client that does not read. It answers one bad message with the end of all calls, and leaves its sockets
 * open when it stops.
 */
import * as RpcMessage from "@effect/rpc/RpcMessage"
import * as RpcServer from "@effect/rpc/RpcServer"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Mailbox from "effect/Mailbox"
import type { IncomingHttpHeaders } from "node:http"
import type { Socket } from "node:net"
import type { RawData, WebSocket } from "ws"
import { QuotaExceeded } from "../../domain/Errors.js"
import { clientOf } from "../../manager/StreamQuota.js"
import { PAGE_BYTES, passing, type Unread, type UnreadOf } from "../../manager/Unread.js"
import { NotMessagePack } from "../../rpc/MsgPackScan.js"
import type { Judged } from "../../rpc/RequestDecoding.js"
import { CLIENT_HEADER, died, failed, frames, OPENED_HEADER } from "../../rpc/Serialization.js"
import { Intake, type IntakeLimits } from "./Intake.js"

/** A client that answers no WebSocket ping within this time is gone. */
const LIVENESS_INTERVAL = "30 seconds"
/** How long a client may take to close when the door closes. */
const CLOSE_GRACE = "300 millis"

interface Client {
  readonly ws: WebSocket
  readonly intake: Intake
  readonly unread: UnreadOf
  /** requests for which room is kept: their answers are large */
  readonly kept: Set<string>
  /** headers of its opening request */
  readonly upgrade: ReadonlyArray<[string, string]>
  readonly caller: string
  readonly encode: (message: RpcMessage.FromServerEncoded) => Uint8Array
  alive: boolean
}

/** Handlers tell the client that a stream has begun, where it asked for that. */
export type Opened = (clientId: number, headers: Readonly<Record<string, string | undefined>>) => Effect.Effect<void>

const REQUEST_ID_HEADER = "websocketmanager-request-id"
const ID_IN_USE = "the id of a request that has not been answered is used again"
const OPENED = [] as unknown as RpcMessage.ResponseChunkEncoded["values"]

const bytesOf = (data: RawData): Uint8Array =>
  Array.isArray(data) ? Buffer.concat(data) : data instanceof ArrayBuffer ? new Uint8Array(data) : data

export interface Limits extends IntakeLimits {
  /** answers that all clients of these doors have not read */
  readonly unread: Unread
  /** of these, bytes of one client */
  readonly unreadBytes: number
  /** requests that begin once there is room for their answer */
  readonly large: ReadonlySet<string>
}

/** `judge` says of each message what it is to the group that is served; `limits` are those of one client. */
export const make = (judge: (message: unknown) => Judged<string>, limits: Limits) =>
  Effect.gen(function* () {
    const disconnects = yield* Mailbox.make<number>()
    const fork = yield* FiberSet.makeRuntime()
    const clients = new Map<number, Client>()
    let nextId = 0
    let whenEmpty = () => {}
    let write: (clientId: number, message: RpcMessage.FromClientEncoded) => Effect.Effect<void> = () => Effect.void

    const readOn = ({ intake, unread, ws }: Client): void => {
      if (ws.isPaused && !intake.full && unread.low) ws.resume()
    }

    /** `kept`: there is room for it already. */
    const transmit = (client: Client, message: RpcMessage.FromServerEncoded, kept = false) =>
      Effect.async<void>((resume) => {
        const { ws } = client
        if (kept && ws.readyState !== ws.OPEN) client.unread.give(PAGE_BYTES)
        if (ws.readyState !== ws.OPEN) return resume(Effect.void)
        const bytes = encoded(client, message)
        const { length } = bytes
        if (kept) client.unread.give(PAGE_BYTES - Math.min(length, PAGE_BYTES))
        const more = kept ? Math.max(0, length - PAGE_BYTES) : length
        if (client.unread.take(more)) return give(client, bytes, resume)
        // encoded anew when there is room: a message that waits holds no bytes
        ws.pause()
        const forget = client.unread.whenRoom(more, () => {
          if (ws.readyState === ws.OPEN) return give(client, encoded(client, message), resume)
          client.unread.give(length)
          resume(Effect.void)
        })
        return Effect.sync(forget)
      })

    const encoded = (client: Client, message: RpcMessage.FromServerEncoded): Uint8Array => {
      try {
        return client.encode(message)
      } catch (cause) {
        return client.encode(
          "requestId" in message ? died(message.requestId, cause) : RpcMessage.ResponseDefectEncoded(cause)
        )
      }
    }

    /** Room for it was taken. */
    const give = (client: Client, bytes: Uint8Array, resume: (done: Effect.Effect<void>) => void): void =>
      client.ws.send(bytes, () => {
        client.unread.give(bytes.length)
        readOn(client)
        resume(Effect.void)
      })

    /** A request whose answer is large begins when there is room for it. */
    const roomFor = (client: Client, id: string) =>
      Effect.async<void>((resume) => {
        client.unread.whenRoomFor(PAGE_BYTES, () => {
          client.kept.add(id)
          resume(Effect.void)
        })
      })

    const send = (clientId: number, message: RpcMessage.FromServerEncoded) => {
      const client = clients.get(clientId)
      if (client === undefined) return Effect.void
      // only for a request that was begun: the answer to one that was refused before may bear the id of one that still runs
      if (message._tag === "Exit") client.intake.answered(message.requestId)
      return transmit(client, message, message._tag === "Exit" && client.kept.delete(message.requestId))
    }

    const handle = (clientId: number, client: Client, message: unknown, bytes: number) => {
      const judged = judge(message)
      switch (judged._tag) {
        case "Malformed":
          return transmit(client, RpcMessage.ResponseDefectEncoded(judged.reason))
        case "Refused":
          return transmit(client, failed(judged.requestId, judged.error))
        case "Control":
          return write(clientId, judged.message)
        case "Request": {
          const { request } = judged
          // the server would keep it until the one before it is answered, and the bytes of both are counted under one id
          if (client.intake.isRunning(request.id)) return transmit(client, RpcMessage.ResponseDefectEncoded(ID_IN_USE))
          if (!client.intake.begin(request.id, bytes)) {
            return transmit(client, failed(request.id, new QuotaExceeded({ quota: "requests of one client" })))
          }
          const own: Array<[string, string]> = [
            [REQUEST_ID_HEADER, request.id],
            [CLIENT_HEADER, client.caller]
          ]
          const headers = [...client.upgrade, ...request.headers, ...own]
          const begin = Effect.suspend(() =>
            clients.has(clientId) ? write(clientId, { ...request, headers }) : Effect.void
          )
          if (!limits.large.has(request.tag)) return begin
          // what stands behind it is not kept waiting
          return Effect.sync(() => void fork(Effect.zipRight(roomFor(client, request.id), begin)))
        }
      }
    }

    /** Takes over a socket that was let in; `upgrade` are the headers of its opening request. Its client's id. */
    const accept = (ws: WebSocket, upgrade: IncomingHttpHeaders): number => {
      const id = nextId++
      const parser = frames.unsafeMake()
      const { _socket: socket } = ws as unknown as { readonly _socket: Socket }
      const { remoteAddress, remotePort } = socket
      const reader = { passed: passing(socket), cut: () => ws.terminate() }
      const client: Client = {
        ws,
        intake: new Intake(ws, limits, () => readOn(client)),
        unread: limits.unread.of(reader, limits.unreadBytes),
        kept: new Set(),
        upgrade: Object.entries(upgrade).filter((h): h is [string, string] => typeof h[1] === "string"),
        caller: clientOf(remoteAddress, remotePort),
        alive: true,
        encode: (message) => parser.encode(message) as Uint8Array
      }
      clients.set(id, client)
      ws.on("pong", () => (client.alive = true))
      ws.on("error", () => ws.terminate())
      ws.on("close", () => {
        clients.delete(id)
        client.unread.end()
        disconnects.unsafeOffer(id)
        if (clients.size === 0) whenEmpty()
      })
      ws.on("message", (data, binary) => {
        if (!binary) return ws.close(1003, "binary messages only: MessagePack")
        const bytes = bytesOf(data)
        client.intake.whole(bytes.length)
        let messages: ReadonlyArray<unknown>
        try {
          messages = parser.decode(bytes)
        } catch (error) {
          const tooMuch = error instanceof NotMessagePack && error.overLimit
          return tooMuch ? ws.close(1008, `a message ${error.message}`) : ws.close(1007, "not a MessagePack message")
        }
        const share = Math.ceil(bytes.length / messages.length)
        fork(
          Effect.forEach(messages, (message) => handle(id, client, message, share), { discard: true }).pipe(
            Effect.catchAllCause((cause) => Effect.logDebug("an RPC message was not handled", cause)),
            Effect.ensuring(Effect.sync(() => client.intake.handled()))
          )
        )
      })
      return id
    }

    const opened: Opened = (clientId, headers) => {
      const requestId = headers[REQUEST_ID_HEADER]
      if (headers[OPENED_HEADER] === undefined || requestId === undefined) return Effect.void
      return send(clientId, { _tag: "Chunk", requestId, values: OPENED })
    }

    /** Ends every socket with 1001, and cuts those that do not close in time. */
    const closeAll = Effect.async<void>((resume) => {
      whenEmpty = () => resume(Effect.void)
      if (clients.size === 0) return whenEmpty()
      for (const { ws } of clients.values()) {
        ws.resume()
        ws.close(1001, "the manager is stopping")
      }
    }).pipe(
      Effect.interruptible,
      Effect.timeoutOption(CLOSE_GRACE),
      Effect.ensuring(
        Effect.sync(() => {
          for (const { ws } of clients.values()) ws.terminate()
        })
      )
    )

    yield* Effect.sync(() => {
      for (const client of clients.values()) {
        if (client.ws.isPaused) continue
        if (!client.alive) client.ws.terminate()
        client.alive = false
        client.ws.ping()
      }
    }).pipe(Effect.delay(LIVENESS_INTERVAL), Effect.forever, Effect.interruptible, Effect.forkScoped)

    const protocol = yield* RpcServer.Protocol.make((writeRequest) => {
      write = writeRequest
      return Effect.succeed({
        disconnects,
        send,
        end: () => Effect.void,
        clientIds: Effect.sync(() => new Set(clients.keys())),
        initialMessage: Effect.succeedNone,
        supportsAck: true,
        supportsTransferables: false,
        supportsSpanPropagation: true
      })
    })
    return { protocol, accept, opened, closeAll } as const
  })
