/** Send, SendRaw and Receive on one connection. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type BufferFull, ConnectionNotOpen, SendAborted, StateStoreUnavailable } from "../../domain/Errors.js"
import { type Frame, OCTET_STREAM } from "../../domain/Frame.js"
import type { ReceiveResponse, SendRawRequest, SendRequest, SendResponse } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import { checkSend, checkSendRaw } from "../../domain/validation/Validate.js"
import * as ReaderBuffer from "../../messaging/ReaderBuffer.js"
import { partOfCall } from "../../observability/Spans.js"
import type { ManagedConnection } from "../connection/ManagedConnection.js"
import { checked, type ManagerContext, owned, settledHere } from "../connection/ManagerContext.js"

/** Hands a message to the socket; done once the socket took it. */
const out =
  (core: ManagerContext, c: ManagedConnection, onSent: () => void = () => {}) =>
  (
    message: Uint8Array,
    binary: boolean,
    handed?: () => void
  ): Effect.Effect<void, BufferFull | ConnectionNotOpen | StateStoreUnavailable> =>
    Effect.suspend((): Effect.Effect<void, BufferFull | ConnectionNotOpen | StateStoreUnavailable> => {
      const { session } = c
      if (!c.owned.life.valid()) return new StateStoreUnavailable({ reason: "this instance holds no lease now" })
      if (session === undefined || c.isHalted()) return new ConnectionNotOpen({ id: c.id, status: c.status })
      return session.send(message, binary, handed).pipe(
        partOfCall("socket.send", { connection: c.id, bytes: message.length }),
        Effect.map(() => {
          c.messageSent()
          core.metrics.framesSent.add(1)
          onSent()
        }),
        Effect.catchTag("ConnectionNotOpen", () => new ConnectionNotOpen({ id: c.id, status: c.status }))
      )
    })

const counted = <A, E extends { readonly _tag: string }, R>(core: ManagerContext, call: Effect.Effect<A, E, R>) =>
  Effect.onExit(call, (exit) =>
    Effect.sync(() => {
      if (exit._tag === "Success") return core.metrics.sends("ok").add(1)
      const { cause } = exit
      const tag = cause._tag === "Fail" ? cause.error._tag : "Interrupted"
      core.metrics.sends(OUTCOME[tag] ?? "refused").add(1)
    })
  )

const OUTCOME: Readonly<Record<string, string>> = {
  SendTimeout: "timeout",
  SendAborted: "aborted",
  Interrupted: "aborted"
}

/** The longest a message waits for the other socket of a planned move, milliseconds. */
const MOVE_WAIT = 10_000

/**
 * In a planned move with an overlap there is always a socket, the old one or the new one. A message that finds the one
 * closed already, or the other not open yet, waits for what comes of it.
 */
const ready = (
  core: ManagerContext,
  c: ManagedConnection,
  patience: number
): Effect.Effect<ManagedConnection, ErrorOf<"SendRaw">> => {
  if (c.session !== undefined && !c.isHalted()) return Effect.succeed(c)
  if (!c.isOverlapping() && !c.isHeld()) return Effect.succeed(c)
  const other = c.isOverlapping() ? settledHere(core, c) : Effect.as(Effect.exit(c.opening), c)
  return Effect.map(
    Effect.timeoutOption(other, patience),
    Option.getOrElse(() => c)
  )
}

/** `onSent` is called when the socket took the message. */
export const send = (
  core: ManagerContext,
  request: SendRequest,
  onSent?: () => void
): Effect.Effect<SendResponse, ErrorOf<"Send">> =>
  Effect.gen(function* () {
    const found = yield* owned(core, request.id)
    const { binary, correlation, message, timeoutMs } = yield* checked(checkSend(request, found.spec.correlation))
    const began = core.steady()
    yield* core.sending.begin(message.length)
    const c = yield* ready(core, found, Math.min(timeoutMs, MOVE_WAIT))
    if (c.session === undefined) return yield* new ConnectionNotOpen({ id: c.id, status: c.status })
    const left = Math.max(1, timeoutMs - Math.floor(core.steady() - began))
    const call = { message, binary, correlation, timeoutMs: left, send: out(core, c, onSent) }
    const answer = c.correlator.request(call).pipe(
      Effect.catchTags({
        RequestAborted: ({ sent }) => new SendAborted({ id: c.id, sent }),
        // The socket was open when the call came and went away before the message left it.
        ConnectionNotOpen: () => new SendAborted({ id: c.id, sent: "no" })
      })
    )
    const response = yield* counted(core, answer)
    core.metrics.sendSeconds.observe((core.steady() - began) / 1000)
    return response
  })

export const sendRaw = (core: ManagerContext, request: SendRawRequest): Effect.Effect<void, ErrorOf<"SendRaw">> =>
  Effect.gen(function* () {
    const { binary, id, message } = yield* checked(checkSendRaw(request))
    const c = yield* ready(core, yield* owned(core, id), MOVE_WAIT)
    yield* counted(core, out(core, c)(message, binary))
  })

export const receive = (
  core: ManagerContext,
  id: string
): Effect.Effect<Stream.Stream<ReceiveResponse>, ErrorOf<"Receive">, Scope.Scope> =>
  Effect.gen(function* () {
    const c = yield* owned(core, id)
    const reader = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const made = ReaderBuffer.make<Frame>()
        c.readers.add(made)
        return made
      }),
      (made) =>
        Effect.sync(() => {
          c.readers.delete(made)
          made.end()
        })
    )
    return readAll(reader, toResponse)
  })

/** A reader's items as a stream, as many in a chunk as have come; `missed` stands on the first of them. */
export const readAll = <A, B>(
  reader: ReaderBuffer.ReaderBuffer<A>,
  convert: (item: A, missed: number) => B
): Stream.Stream<B> =>
  Stream.repeatEffectChunkOption(
    Effect.mapBoth(reader.take, {
      onFailure: () => Option.none(),
      onSuccess: ({ items, missed }) =>
        Chunk.unsafeFromArray(items.map((item, i) => convert(item, i === 0 ? missed : 0)))
    })
  )

const toResponse = (frame: Frame, missed: number): ReceiveResponse => ({
  data: frame.data,
  contentType: frame.binary ? OCTET_STREAM : frame.origin.textContentType,
  epoch: frame.origin.epoch,
  sequence: frame.sequence,
  receivedAt: new Date(frame.receivedAt),
  missed
})
