/** Processor time of one connection: measured where it is dear, told, and ended where it happens again and again. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FEED } from "../../src/domain/Limits.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

/** Works for so long, in processor time: other processes may have the machine meanwhile. */
const work = (ms: number): void => {
  const began = process.cpuUsage()
  let used = { user: 0, system: 0 }
  do used = process.cpuUsage(began)
  while (used.user + used.system < ms * 1000)
}
/** Does not run for so long, as a process that is stopped. */
const stand = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const DEAR = FEED.TURN_MS + 50

describe("a connection whose frames take long", () => {
  it.scopedLive("is told of, is not read for a while, and goes on with every frame", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const told: Array<number> = []
      const frames: Array<string> = []
      yield* open(specOf(server.url), {
        onFrame: (data) => {
          frames.push(data.toString())
          if (frames.length === 1) work(DEAR)
        },
        onTooExpensive: (ms) => (told.push(ms), false)
      })
      server.last.send("dear")
      yield* eventually(() => told.length === 1)
      const began = performance.now()
      server.last.send("behind it")
      yield* eventually(() => frames.length === 2, 15_000)
      expect(performance.now() - began).toBeGreaterThan(FEED.TOO_EXPENSIVE_PAUSE_MS / 2)
      expect(told[0]).toBeGreaterThanOrEqual(FEED.TURN_MS)
      expect(frames).toEqual(["dear", "behind it"])
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("ends with 1008 once whoever has it says so, in the middle of what was read", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      let told = 0
      let seen = 0
      const { session } = yield* open(specOf(server.url), {
        // many that are dear together: each is far below the limit
        onFrame: () => {
          seen++
          work(5)
        },
        onTooExpensive: () => ++told === 3
      })
      server.last.socket.cork()
      for (let i = 0; i < 2000; i++) server.last.send("x".repeat(20))
      server.last.socket.uncork()
      expect(yield* session.ended).toMatchObject({ closeCode: 1008, cause: "expensive" })
      expect(told).toBe(3)
      expect(seen).toBeLessThan(2000)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("is none while only the process stood, or many turns had their part", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const told: Array<number> = []
      const { frames } = yield* open(specOf(server.url), { onTooExpensive: (ms) => (told.push(ms), false) })
      let seen = 0
      yield* open(specOf(server.url), {
        onFrame: () => {
          seen++
          if (seen === 1) stand(2 * DEAR)
          else work(DEAR / 10)
        },
        onTooExpensive: (ms) => (told.push(ms), false)
      })
      for (let i = 0; i < 21; i++) {
        server.last.send("x")
        yield* eventually(() => seen === i + 1)
      }
      // a neighbour in the same turns is not charged for it
      server.peers[0]!.send("cheap")
      yield* eventually(() => frames.length === 1)
      expect(told).toEqual([])
    }).pipe(Effect.provide(sessionsLayer()))
  )
})
