/** Pings to a peer that does not read: one of each kind at most, under the budget of its connection. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

const KIB = 1024
const OFF = { pingIntervalMs: Infinity, deadAfterMs: Infinity, idleAfterMs: Infinity, ping: undefined }

describe("an application-level ping", () => {
  it.scopedLive.each<[string, number, boolean]>([
    ["large", 180 * KIB, true],
    ["small", 2, false],
    ["as large as a message may be", 1024 * KIB, true]
  ])("goes only when the one before has left: %s", ([, size, binary]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const budget = new ByteBudget(32 * 1024 * KIB)
      const ping = { data: Buffer.alloc(size, "p"), binary, intervalMs: 1 }
      const { session } = yield* open(specOf(server.url, { keepAlive: { ...OFF, ping } }), { budget })
      yield* Effect.promise(() => server.until(() => server.last.frames.length >= 3))
      server.last.stopReading()
      yield* Effect.fork(Effect.ignore(session.send(Buffer.alloc(8 * 1024 * KIB), true)))
      const seen = server.last.frames.length
      yield* eventually(() => budget.used >= 8 * 1024 * KIB)
      yield* Effect.sleep(300)
      // what is kept: the message, and one ping
      expect(budget.used).toBeLessThanOrEqual(8 * 1024 * KIB + 2 * size)
      server.last.resumeReading()
      yield* Effect.promise(() => server.until(() => server.last.frames.length > seen + 4))
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("and one of the protocol too", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const { session } = yield* open(specOf(server.url, { keepAlive: { ...OFF, pingIntervalMs: 1 } }))
      yield* Effect.promise(() => server.until(() => server.last.pings >= 3))
      server.last.stopReading()
      yield* Effect.fork(Effect.ignore(session.send(Buffer.alloc(8 * 1024 * KIB), true)))
      const before = server.last.pings
      yield* Effect.sleep(300)
      let burst = 0
      server.last.ws.on("message", () => (burst = server.last.pings - before))
      server.last.resumeReading()
      yield* Effect.promise(() => server.until(() => server.last.pings > before + 10))
      // those of the kernel, and one behind the message
      expect(burst).toBeLessThan(50)
    }).pipe(Effect.provide(sessionsLayer()))
  )
})
