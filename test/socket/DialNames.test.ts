/** Dials by name, against a real name server and a real peer on loopback. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type Behaviour, NameServer } from "../support/NameServer.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { eventually, open, reconnectWith, sessionsLayer, specOf } from "./testSession.js"

const nameServer = (behave: (name: string) => Behaviour) =>
  Effect.acquireRelease(
    Effect.promise(() => NameServer.start(behave)),
    (server) => Effect.promise(() => server.stop())
  )

const at = (server: ScriptedServer, name: string, dialTimeoutMs = 10_000) =>
  specOf(server.url.replace("127.0.0.1", name), { reconnect: reconnectWith(dialTimeoutMs) })

describe.concurrent("DialNames", () => {
  it.scopedLive.each([
    ["twelve of one zone", Array.from({ length: 12 }, (_, i) => `x${i}.dead.test`)],
    ["forty zones", Array.from({ length: 40 }, (_, i) => `feed.dead${i}.test`)],
    ["one name, dialled sixty times", Array<string>(60).fill("feed.dead.test")]
  ] as const)("names that no server answers for hold up no other name: %s", ([, dead]) =>
    Effect.gen(function* () {
      const names = yield* nameServer((name) => (name.includes("dead") ? "silent" : { a: ["127.0.0.1"] }))
      yield* Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const stuck = yield* Effect.forEach(dead, (name) => Effect.fork(Effect.scoped(open(at(server, name)))))
        yield* eventually(() => names.queries.length > 0)
        for (const name of ["a.good.test", "b.good.test", "localhost", "127.0.0.1"]) {
          const began = performance.now()
          yield* open(at(server, name))
          expect(performance.now() - began).toBeLessThan(2000)
        }
        yield* Fiber.interruptAll(stuck)
      }).pipe(Effect.provide(sessionsLayer({ settings: { dnsServers: [names.address] } })))
    })
  )

  it.scopedLive("a name that is not answered for, or waits behind such names, is kind dns and says so", () =>
    Effect.gen(function* () {
      const names = yield* nameServer(() => "silent")
      yield* Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const all = yield* Effect.forEach(
          ["a.dead.test", "b.dead.test", "c.dead.test"],
          (name) => Effect.scoped(Effect.flip(open(at(server, name, 700)))),
          { concurrency: 3 }
        )
        for (const [i, failure] of all.entries()) {
          expect(failure).toMatchObject({ kind: "dns" })
          expect(failure.reason).toBe(`${"abc"[i]}.dead.test was not resolved within 700 ms`)
        }
        expect(yield* Effect.flip(open(at(server, "d.dead.test")))).toMatchObject({
          kind: "dns",
          reason: "no name server answered for d.dead.test within 5000 ms"
        })
      }).pipe(Effect.provide(sessionsLayer({ settings: { dnsServers: [names.address] } })))
    })
  )

  it.scopedLive("what a name resolves to is judged at each dial, also out of what is kept", () =>
    Effect.gen(function* () {
      const names = yield* nameServer(() => ({ a: ["127.0.0.1"] }))
      const server = yield* ScriptedServer.scoped()
      const settings = { dnsServers: [names.address], egress: "public" } as const
      yield* Effect.gen(function* () {
        for (let i = 0; i < 2; i++) {
          expect(yield* Effect.flip(open(at(server, "rebind.test")))).toMatchObject({ _tag: "TargetForbidden" })
        }
        expect(names.asked("rebind.test")).toBe(1)
        expect(server.rawSockets()).toBe(0)
      }).pipe(Effect.provide(sessionsLayer({ settings })))
    })
  )

  it.scopedLive("an address of the network that is dialled too often waits, whatever names and ports lead there", () =>
    Effect.gen(function* () {
      const names = yield* nameServer(() => ({ a: ["127.0.0.1"] }))
      yield* Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const began = performance.now()
        yield* Effect.forEach(
          Array.from({ length: 12 }, (_, i) => `a${i}.victim.test`),
          (name) => open(at(server, name)),
          {
            concurrency: 12
          }
        )
        // four at once, and then four a second
        expect(performance.now() - began).toBeGreaterThan(1800)
        expect(server.openings.length).toBe(12)
      }).pipe(
        Effect.provide(
          sessionsLayer({ settings: { dnsServers: [names.address], dialRatePerAddress: 4, dialRatePerHost: 2 } })
        )
      )
    })
  )
})
