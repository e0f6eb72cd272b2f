import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ReaderBuffer from "../../src/messaging/ReaderBuffer.js"

describe("ReaderBuffer", () => {
  it.effect("a reader gets all that has come, in order", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      buffer.offer(1, 1)
      buffer.offer(2, 1)
      expect(yield* buffer.take).toEqual({ items: [1, 2], missed: 0 })
    })
  )

  it.effect("a reader that waits is woken by the first item", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      const reader = yield* Effect.fork(buffer.take)
      yield* Effect.yieldNow()
      buffer.offer(7, 1)
      expect(yield* Fiber.join(reader)).toEqual({ items: [7], missed: 0 })
    })
  )

  it.effect("beyond 16,384 items the oldest go, and the next take says how many", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      for (let i = 0; i < 50_000; i++) buffer.offer(i, 1)
      const { items, missed } = yield* buffer.take
      expect(missed).toBe(50_000 - 16_384)
      expect(items[0]).toBe(missed)
      expect(items.length).toBe(16_384)
      buffer.offer(9, 1)
      expect(yield* buffer.take).toEqual({ items: [9], missed: 0 })
    })
  )

  it.effect("beyond 4 MiB the oldest go", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      for (let i = 0; i < 5; i++) buffer.offer(i, 1024 * 1024)
      expect(yield* buffer.take).toEqual({ items: [1, 2, 3, 4], missed: 1 })
    })
  )

  it.effect("after the end a reader drains what is there, then ends", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      buffer.offer(1, 1)
      buffer.end()
      buffer.offer(2, 1)
      expect(yield* buffer.take).toEqual({ items: [1], missed: 0 })
      expect(yield* Effect.flip(buffer.take)).toBe("ended")
    })
  )

  it.effect("the end wakes a reader that waits", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      const reader = yield* Effect.fork(buffer.take)
      yield* Effect.yieldNow()
      buffer.end()
      expect(yield* Effect.flip(Fiber.join(reader))).toBe("ended")
    })
  )

  it.effect("a reader that is interrupted takes nothing away", () =>
    Effect.gen(function* () {
      const buffer = ReaderBuffer.make<number>()
      const reader = yield* Effect.fork(buffer.take)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(reader)
      buffer.offer(1, 1)
      expect(yield* buffer.take).toEqual({ items: [1], missed: 0 })
    })
  )
})
