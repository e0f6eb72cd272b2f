/** A crash is heard over the links between instances, and is told from what looks like one. */
import { describe, expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { adjust, stored, until } from "./clockedInstances.js"
import { fleet, it, names, secondsUntil, status, world } from "./fleets.js"

describe("a crash", () => {
  it("is heard by the link and two refused dials, and fenced within half a second", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      yield* c.crash
      expect(yield* secondsUntil(() => status(here, c) === "dead")).toBeLessThan(0.5)
      expect(stored(here.backend, instanceKey("c")).reason).toBe("refused")
      expect(yield* secondsUntil(() => a.victims.length + b.victims.length === 2)).toBeLessThan(0.5)
      expect([names(a), names(b)]).toEqual([["c dead"], ["c dead"]])
    }))

  it("a reset while the port answers proves nothing", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      here.network.reset(a.address, c.address)
      yield* adjust("10 seconds")
      expect([status(here, b), status(here, c)]).toEqual(["alive", "alive"])
      // and the link is made again: a crash after it is heard
      yield* c.crash
      expect(yield* secondsUntil(() => status(here, c) === "dead")).toBeLessThan(0.5)
    }))

  it("refused dials without a broken link prove nothing, nor does a broken link to a host that is silent", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      here.network.refuse(c.address)
      yield* adjust("10 seconds")
      expect(status(here, c)).toBe("alive")
      here.network.refuse(c.address, false)
      // broken, and then nothing comes back
      for (const one of [a, b]) {
        here.network.reset(one.address, c.address)
        here.network.cut(one.address, c.address)
      }
      yield* adjust("10 seconds")
      expect(status(here, c)).toBe("alive")
      expect(c.changes).toEqual(["held"])
    }))

  it("where a network refuses for a living peer the fence ends its life", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      const life = c.lease.life()
      here.network.refuse(c.address)
      for (const one of [a, b]) here.network.reset(one.address, c.address)
      yield* until(() => status(here, c) === "dead")
      yield* until(life.ended)
      expect(life.valid()).toBe(false)
    }))

  it("WSM_CRASH_DETECTION=off: only silence counts", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, , c] = yield* fleet(here, ["a", "b", "c"], { settings: { crashDetection: "off" } })
      expect(here.network.sent.filter(({ what }) => what === "link")).toEqual([])
      yield* c.crash
      yield* Effect.fork(a.membership.gone({ id: "c", incarnation: c.lease.life().incarnation, address: c.address }))
      expect(yield* secondsUntil(() => status(here, c) === "dead")).toBeGreaterThan(4)
      expect(stored(here.backend, instanceKey("c")).reason).toBe("silence")
    }))

  it("beyond eight peers the next few on the ring keep a link, and hear of it for all", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(
        here,
        Array.from({ length: 10 }, (_, i) => `i${i}`)
      )
      const links = here.network.inFlight
      expect(links).toBe(30)
      const victim = all[4]!
      yield* victim.crash
      expect(yield* secondsUntil(() => status(here, victim) === "dead")).toBeLessThan(0.5)
      yield* adjust("3 seconds")
      for (const one of all) if (one !== victim) expect(one.victims.map(({ id }) => id)).toEqual([victim.id])
    }))

  it("found by a forwarded call it is looked at once", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      const peer = { id: "c", incarnation: c.lease.life().incarnation, address: c.address }
      yield* a.membership.gone(peer)
      expect(status(here, c)).toBe("alive")
      expect(yield* b.membership.isEnded("c", peer.incarnation)).toBe(false)
      expect(yield* b.membership.addressOf("c", peer.incarnation)).toMatchObject({ _tag: "Some", value: peer })
      yield* c.crash
      const looked = yield* Effect.fork(a.membership.gone(peer))
      yield* adjust("400 millis")
      expect(looked.unsafePoll()).not.toBe(null)
      expect(yield* b.membership.isEnded("c", peer.incarnation)).toBe(true)
      expect(yield* b.membership.addressOf("c", peer.incarnation)).toMatchObject({ _tag: "None" })
    }))
})
