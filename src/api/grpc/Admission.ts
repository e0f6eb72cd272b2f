/**
 * What a party may hold at the gRPC door before and after its token is seen: streams, headers, requests that are on their way.
 *
 * grpc-js has no settings for most of it, so its streams pass here first. Its own server object is reached for by the two names
 * below; the tests read what goes over the wire.
 */
import type * as grpc from "@grpc/grpc-js"
import * as Http2 from "node:http2"
import { ByteBudget } from "../../common/ByteBudget.js"
import { CALLER, STRANGER } from "../../domain/Limits.js"
import { passing, type Unread, type UnreadOf } from "../../manager/Unread.js"
import * as Answers from "./Answers.js"

/** What a stream holds beside its headers, roughly. */
const STREAM_BYTES = 4 * 1024
/** What HTTP/2 counts for each header beside its name and value. */
const HEADER_BYTES = 32
const HEADER_PAIRS = 64
/** What nghttp2 keeps of one connection, in mebibytes; answers are counted here, over all of them. */
const SESSION_MEMORY_MIB = 2 * (CALLER.UNREAD_BYTES / 1024 ** 2)
const LIST = /\/List$/

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = Http2.constants

export const OPTIONS: grpc.ServerOptions = {
  "grpc.max_concurrent_streams": STRANGER.GRPC_STREAMS,
  "grpc-node.max_session_memory": SESSION_MEMORY_MIB,
  // GOAWAY does no harm: a client dials again by itself, and a client with an open stream is not idle
  "grpc.max_connection_idle_ms": STRANGER.GRPC_IDLE_MS
}

export interface AdmissionOptions {
  /** whether a call with these headers is a caller's; one that is open to strangers is not */
  readonly admits: (headers: Http2.IncomingHttpHeaders & Http2.IncomingHttpStatusHeader) => boolean
  /** what all callers may have on its way, over all doors */
  readonly requests: ByteBudget
  /** what all callers have not read, over all doors */
  readonly unread: Unread
  readonly refused: (reason: string, address: string | undefined) => void
}

/** Of one connection. */
interface Account {
  readonly requests: ByteBudget
  readonly unread: UnreadOf
}

/** Before the injector is made: what the HTTP/2 server is made with. */
export const prepare = (server: grpc.Server): void => {
  const options = server["commonServerOptions"] as Http2.ServerOptions
  options.maxHeaderListPairs = HEADER_PAIRS
  options.settings = { ...options.settings, maxHeaderListSize: STRANGER.GRPC_HEADER_BYTES }
}

/** After it is made: its streams pass here. */
export const guard = (server: grpc.Server, options: AdmissionOptions): void => {
  const strangers = new ByteBudget(STRANGER.GRPC_BYTES)
  for (const http2 of (server["http2Servers"] as Map<Http2.Http2Server, unknown>).keys()) {
    const handlers = http2.listeners("stream")
    http2.removeAllListeners("stream")
    const accounts = new WeakMap<Http2.Http2Session, Account>()
    http2.on("session", (session) => {
      const reader = { passed: passing(session.socket), cut: () => session.destroy() }
      const unread = options.unread.of(reader, CALLER.UNREAD_BYTES)
      accounts.set(session, { requests: new ByteBudget(CALLER.REQUEST_BYTES, options.requests), unread })
      session.once("close", () => unread.end())
      // this server's settings bind a client only once it has acknowledged them
      const late = setTimeout(() => session.pendingSettingsAck && session.destroy(), STRANGER.SILENT_MS)
      session.once("close", () => clearTimeout(late))
    })
    http2.on("stream", (stream, headers, ...rest) => {
      const address = stream.session?.socket?.remoteAddress
      const refuse = (code: number, reason: string) => {
        options.refused(reason, address)
        stream.on("error", () => {})
        stream.close(code)
      }
      const bytes = sizeOf(headers)
      if (bytes > STRANGER.GRPC_HEADER_BYTES) return refuse(NGHTTP2_ENHANCE_YOUR_CALM, "headers")
      const caller = options.admits(headers)
      if (!caller && !hold(strangers, stream, bytes + STREAM_BYTES)) return refuse(NGHTTP2_ENHANCE_YOUR_CALM, "busy")
      const serve = () => {
        for (const handler of handlers) handler.call(http2, stream, headers, ...rest)
        endWhenAnswered(stream)
      }
      if (!caller) {
        serve()
        return limited(stream, () => refuse(NGHTTP2_CANCEL, "slow"))
      }
      // a handler may end the stream, and then it has no session any more
      const account = stream.session && accounts.get(stream.session)
      if (account === undefined) return refuse(NGHTTP2_CANCEL, "gone")
      const large = LIST.test(headers[":path"] ?? "")
      const begin = () => {
        Answers.count(stream, account.unread, large)
        serve()
        counted(stream, account.requests, () => refuse(NGHTTP2_ENHANCE_YOUR_CALM, "busy"))
      }
      if (large) Answers.whenRoom(stream, account.unread, begin)
      else begin()
    })
  }
}

/** As HTTP/2 counts the headers of a call. */
const sizeOf = (headers: Http2.IncomingHttpHeaders): number => {
  let bytes = 0
  for (const name in headers) {
    const value = headers[name]
    for (const one of Array.isArray(value) ? value : [value ?? ""]) bytes += name.length + one.length + HEADER_BYTES
  }
  return bytes
}

/** Takes the bytes until the stream has ended. */
const hold = (budget: ByteBudget, stream: Http2.ServerHttp2Stream, bytes: number): boolean => {
  if (!budget.take(bytes)) return false
  stream.once("close", () => budget.give(bytes))
  return true
}

/** A client that leaves its side open after the answer would hold the stream for ever. One that still reads is waited for. */
const endWhenAnswered = (stream: Http2.ServerHttp2Stream): void => {
  const look = () => {
    const { localClose, remoteClose } = stream.state
    if (localClose === 1 && remoteClose === 0) stream.close(NGHTTP2_NO_ERROR)
  }
  stream.once("finish", () => {
    const cut = setInterval(look, STRANGER.REFUSED_UPGRADE_MS)
    stream.once("close", () => clearInterval(cut))
  })
}

/** A stranger's request is there soon, or it ends. */
const limited = (stream: Http2.ServerHttp2Stream, late: () => void): void => {
  const cut = setTimeout(() => stream.readableEnded || late(), STRANGER.SILENT_MS)
  stream.once("close", () => clearTimeout(cut))
}

/** What arrives of a call counts until the call has ended, before grpc-js keeps it. */
const counted = (stream: Http2.ServerHttp2Stream, budget: ByteBudget, over: () => void): void => {
  let taken = 0
  let refused = false
  stream.prependListener("data", (chunk: Buffer) => {
    if (budget.take(chunk.length)) taken += chunk.length
    else if (!refused) {
      refused = true
      over()
    }
  })
  stream.once("close", () => budget.give(taken))
}
