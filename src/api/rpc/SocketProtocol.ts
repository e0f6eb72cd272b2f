/**
 * The RPC server's protocol over `ws` sockets that were already let in.
 *
 * Written on `ws` itself, because the stock protocol takes messages of any size up to 100 MiB, never waits for a socket that
 * is not read, answers one bad message with the end of all calls, and leaves its sockets open when it stops.
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
import { Intake, type IntakeLimits } from "./Intake.js"
import { clientOf } from "./StreamQuota.js"
import type { Judged } from "./Strict.js"
import { NotMessagePack } from "./MsgPackScan.js"
import { CLIENT_HEADER, died, failed, frames, OPENED_HEADER } from "./Wire.js"

/** Answers waiting for a client that does not read: above, nothing more is read from it; below, it is read again. */
const UNREAD_HIGH_BYTES = 32 * 1024 * 1024
const UNREAD_LOW_BYTES = 8 * 1024 * 1024
/** A client that answers no WebSocket ping within this time is gone. */
const LIVENESS_INTERVAL = "30 seconds"
/** How long a client may take to close when the door closes. */
const CLOSE_GRACE = "300 millis"

interface Client {
  readonly ws: WebSocket
  readonly intake: Intake
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

/** `judge` says of each message what it is to the group that is served; `limits` are those of one client. */
export const make = (judge: (message: unknown) => Judged<string>, limits: IntakeLimits) =>
  Effect.gen(function* () {
    const disconnects = yield* Mailbox.make<number>()
    const fork = yield* FiberSet.makeRuntime()
    const clients = new Map<number, Client>()
    let nextId = 0
    let whenEmpty = () => {}
    let write: (clientId: number, message: RpcMessage.FromClientEncoded) => Effect.Effect<void> = () => Effect.void

    const readOn = ({ intake, ws }: Client): void => {
      if (ws.isPaused && !intake.full && ws.bufferedAmount < UNREAD_LOW_BYTES) ws.resume()
    }

    const transmit = (client: Client, message: RpcMessage.FromServerEncoded) =>
      Effect.async<void>((resume) => {
        const { ws } = client
        if (ws.readyState !== ws.OPEN) return resume(Effect.void)
        let bytes: Uint8Array
        try {
          bytes = client.encode(message)
        } catch (cause) {
          bytes = client.encode(
            "requestId" in message ? died(message.requestId, cause) : RpcMessage.ResponseDefectEncoded(cause)
          )
        }
        ws.send(bytes, () => {
          readOn(client)
          resume(Effect.void)
        })
        if (ws.bufferedAmount > UNREAD_HIGH_BYTES) ws.pause()
      })

    const send = (clientId: number, message: RpcMessage.FromServerEncoded) => {
      const client = clients.get(clientId)
      if (client === undefined) return Effect.void
      // of a request that was begun: what is refused before may bear the id of one that still runs
      if (message._tag === "Exit") client.intake.answered(message.requestId)
      return transmit(client, message)
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
          // the server would keep it until the one before it is answered, and their bytes are counted under one id
          if (client.intake.isRunning(request.id)) return transmit(client, RpcMessage.ResponseDefectEncoded(ID_IN_USE))
          if (!client.intake.begin(request.id, bytes)) {
            return transmit(client, failed(request.id, new QuotaExceeded({ quota: "requests of one client" })))
          }
          const own: Array<[string, string]> = [
            [REQUEST_ID_HEADER, request.id],
            [CLIENT_HEADER, client.caller]
          ]
          const headers = [...client.upgrade, ...request.headers, ...own]
          return write(clientId, { ...request, headers })
        }
      }
    }

    /** Takes over a socket that was let in; `upgrade` are the headers of its opening request. Its client's id. */
    const accept = (ws: WebSocket, upgrade: IncomingHttpHeaders): number => {
      const id = nextId++
      const parser = frames.unsafeMake()
      const { remoteAddress, remotePort } = (ws as unknown as { readonly _socket: Socket })._socket
      const client: Client = {
        ws,
        intake: new Intake(ws, limits, () => readOn(client)),
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
