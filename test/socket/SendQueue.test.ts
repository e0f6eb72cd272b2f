import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import type { BufferFull, ConnectionNotOpen } from "../../src/domain/Errors.js"
import { CALLER } from "../../src/domain/Limits.js"
import { SendQueue, type SendTarget } from "../../src/socket/wire/SendQueue.js"

/** A socket that keeps what it is given until it is told to let it go. */
const slowSocket = (indivisibleBytes = 0) => {
  const taken: Array<{ readonly data: Uint8Array; readonly done: (error?: Error) => void }> = []
  const sent: Array<string> = []
  let may = true
  let cut = false
  const target: SendTarget = {
    send: (data, _binary, done) => taken.push({ data, done }),
    bufferedAmount: () => taken.reduce((sum, m) => sum + m.data.length, 0),
    indivisibleBytes,
    isCut: () => cut,
    mayAct: () => may
  }
  return {
    target,
    taken,
    sent,
    forbid: () => (may = false),
    cut: () => (cut = true),
    /** The kernel takes the oldest message. */
    drain: (error?: Error) => {
      const message = taken.shift()!
      sent.push(String(message.data.length))
      message.done(error)
    }
  }
}

const start = (indivisibleBytes = 0) => {
  const socket = slowSocket(indivisibleBytes)
  const budget = new ByteBudget(CALLER.CONNECTION_BYTES)
  return { ...socket, budget, queue: new SendQueue("c1", socket.target, budget) }
}
const KIB = 1024
const message = (bytes: number) => new Uint8Array(bytes)
const forkSend = (queue: SendQueue, bytes: number) =>
  Effect.tap(Effect.fork(queue.send(message(bytes), false)), () => Effect.yieldNow())
const failure = (fiber: Fiber.Fiber<void, BufferFull | ConnectionNotOpen>) =>
  Effect.map(Effect.flip(Fiber.join(fiber)), (e) => e._tag)

describe("SendQueue", () => {
  it.effect("a message is done when the socket took it, not when it was queued", () =>
    Effect.gen(function* () {
      const { drain, queue } = start()
      const fiber = yield* forkSend(queue, 10)
      expect(fiber.unsafePoll()).toBeNull()
      drain()
      yield* Fiber.join(fiber)
    })
  )

  it.effect("the socket is handed the next message when it has nothing unsent, in order", () =>
    Effect.gen(function* () {
      const { drain, queue, sent, taken } = start()
      for (let i = 0; i < 6; i++) yield* forkSend(queue, 400 * KIB + i)
      expect(taken.length).toBe(1)
      drain()
      expect(taken.length).toBe(1)
      while (taken.length > 0) drain()
      expect(sent).toEqual([0, 1, 2, 3, 4, 5].map((i) => String(400 * KIB + i)))
    })
  )

  it.effect("where bytes leave together or not at all, as many messages as fit are handed over together", () =>
    Effect.gen(function* () {
      const { drain, queue, taken } = start(16 * KIB)
      for (let i = 0; i < 10; i++) yield* forkSend(queue, 4 * KIB)
      expect(taken.length).toBe(3)
      drain()
      expect(taken.length).toBe(3)
    })
  )

  it.effect(
    "of a socket that was cut, a message that was not with the kernel did not leave, whatever the socket says",
    () =>
      Effect.gen(function* () {
        const { budget, cut, drain, queue } = start()
        const half = yield* forkSend(queue, 100 * KIB)
        const waiting = yield* forkSend(queue, 5)
        cut()
        queue.end()
        drain()
        expect(yield* failure(half)).toBe("ConnectionNotOpen")
        expect(yield* failure(waiting)).toBe("ConnectionNotOpen")
        expect(budget.used).toBe(0)
      })
  )

  it.effect("a message that the kernel took at once has left, though the socket is cut before that is told", () =>
    Effect.gen(function* () {
      let told: (() => void) | undefined
      const target: SendTarget = {
        send: (_data, _binary, done) => {
          told = () => done()
        },
        bufferedAmount: () => 0,
        indivisibleBytes: 0,
        isCut: () => true,
        mayAct: () => true
      }
      const budget = new ByteBudget(CALLER.CONNECTION_BYTES)
      const sending = yield* forkSend(new SendQueue("c1", target, budget), 10)
      told!()
      yield* Fiber.join(sending)
      expect(budget.used).toBe(0)
    })
  )

  it.effect("a socket that ended without telling of a message did not take it", () =>
    Effect.gen(function* () {
      const { budget, queue } = start()
      const handed = yield* forkSend(queue, 10)
      queue.closed()
      expect(yield* failure(handed)).toBe("ConnectionNotOpen")
      expect(budget.used).toBe(0)
    })
  )

  it.effect("what is kept is taken from the connection's budget until it has left, or is taken back", () =>
    Effect.gen(function* () {
      const { budget, drain, queue } = start()
      yield* forkSend(queue, 16 * 1024 * KIB)
      const large = yield* forkSend(queue, 16 * 1024 * KIB)
      expect(budget.used).toBe(32 * 1024 * KIB)
      yield* Fiber.interrupt(large)
      expect(budget.used).toBe(16 * 1024 * KIB)
      expect(budget.take(10 * 1024 * KIB)).toBe(true)
      expect((yield* Effect.flip(queue.send(message(7 * 1024 * KIB), false)))._tag).toBe("BufferFull")
      drain()
      expect(budget.used).toBe(10 * 1024 * KIB)
    })
  )

  it.effect("1,024 messages wait, the next one is refused", () =>
    Effect.gen(function* () {
      const { queue } = start()
      yield* forkSend(queue, 1024 * KIB)
      for (let i = 0; i < 1024; i++) yield* forkSend(queue, 1)
      expect((yield* Effect.flip(queue.send(message(1), false)))._tag).toBe("BufferFull")
    })
  )

  it.effect("the socket is never handed more than 1,024 messages that have not left, however small", () =>
    Effect.gen(function* () {
      const { drain, queue, taken } = start(1024 * KIB)
      for (let i = 0; i < 2000; i++) yield* forkSend(queue, 1)
      expect(taken.length).toBe(1024)
      drain()
      expect(taken.length).toBe(1024)
    })
  )

  it.effect("4 MiB wait, what would go beyond is refused; a smaller one still fits", () =>
    Effect.gen(function* () {
      const { queue } = start()
      yield* forkSend(queue, 1024 * KIB)
      for (let i = 0; i < 4; i++) yield* forkSend(queue, 1023 * KIB)
      expect((yield* Effect.flip(queue.send(message(8 * KIB), false)))._tag).toBe("BufferFull")
      const fits = yield* forkSend(queue, 4 * KIB)
      expect(fits.unsafePoll()).toBeNull()
      expect((yield* Effect.flip(queue.send(message(1), false)))._tag).toBe("BufferFull")
    })
  )

  it.effect("a message larger than the whole queue is taken when the queue is empty", () =>
    Effect.gen(function* () {
      const { drain, queue, taken } = start()
      yield* forkSend(queue, 1024 * KIB)
      const large = yield* forkSend(queue, 16 * 1024 * KIB)
      expect((yield* Effect.flip(queue.send(message(1), false)))._tag).toBe("BufferFull")
      drain()
      expect(taken.length).toBe(1)
      drain()
      yield* Fiber.join(large)
    })
  )

  it.effect("interruption takes a waiting message back, and makes room", () =>
    Effect.gen(function* () {
      const { drain, queue, sent, taken } = start()
      yield* forkSend(queue, 1024 * KIB)
      const waiting = yield* forkSend(queue, 4 * 1024 * KIB)
      yield* Fiber.interrupt(waiting)
      const other = yield* forkSend(queue, 7)
      while (taken.length > 0) drain()
      yield* Fiber.join(other)
      expect(sent).toEqual([String(1024 * KIB), "7"])
    })
  )

  it.effect("when the socket ends, waiting messages and those that come fail with ConnectionNotOpen", () =>
    Effect.gen(function* () {
      const { drain, queue } = start()
      const gone = yield* forkSend(queue, 1024 * KIB)
      const waiting = yield* forkSend(queue, 5)
      queue.end()
      expect(yield* failure(waiting)).toBe("ConnectionNotOpen")
      expect((yield* Effect.flip(queue.send(message(1), false)))._tag).toBe("ConnectionNotOpen")
      drain(new Error("socket destroyed"))
      expect(yield* failure(gone)).toBe("ConnectionNotOpen")
    })
  )

  it.effect("right before each message it is asked whether anything may go out", () =>
    Effect.gen(function* () {
      const { drain, forbid, queue, sent, taken } = start()
      yield* forkSend(queue, 1024 * KIB)
      const waiting = yield* forkSend(queue, 5)
      forbid()
      drain()
      expect(yield* failure(waiting)).toBe("ConnectionNotOpen")
      expect(Exit.isFailure(yield* Effect.exit(queue.send(message(1), false)))).toBe(true)
      expect(sent).toEqual([String(1024 * KIB)])
      expect(taken.length).toBe(0)
    })
  )
})
