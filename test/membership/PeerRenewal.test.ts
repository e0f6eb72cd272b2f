/** While the store is away instances renew the lease of each other. */
import { describe, expect } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { Peers } from "../../src/ports/Peers.js"
import { adjust, joined, start, stored, until } from "./clockedInstances.js"
import { address, at, back, fleet, it, names, outage, secondsUntil, status, world } from "./fleets.js"

describe("the store away", () => {
  it("for all, sixty seconds: three that can talk lose no lease, and write again when it is back", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      for (const [fault, seconds] of [
        ["blackhole", 60],
        ["unavailable", 15]
      ] as const) {
        for (const { faults } of all) faults[fault] = true
        for (let i = 0; i < seconds; i++) {
          yield* adjust("1 second")
          expect(all.map(({ lease }) => lease.valid())).toEqual([true, true, true])
        }
        back(all)
        yield* adjust("10 seconds")
      }
      expect(all.map(({ changes }) => changes)).toEqual([["held"], ["held"], ["held"]])
      expect(all.flatMap(names)).toEqual([])
    }))

  it("for one alone: it stops before the others may take over, and only then is it fenced", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [a, b, c] = all
      const life = c.lease.life()
      outage([c])
      yield* until(() => !life.valid())
      expect(status(here, c)).toBe("alive")
      expect(c.changes.at(-1)).toBe("lost")
      yield* until(() => status(here, c) === "dead")
      expect(a.lease.valid() && b.lease.valid()).toBe(true)
      // told by its peers, though it cannot read it
      yield* adjust("3 seconds")
      expect(life.valid()).toBe(false)
      c.faults.heal()
      yield* until(c.lease.valid)
      expect(c.lease.life()).not.toBe(life)
    }))

  it("a lease that ran out is not revived by a peer's answer", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [, , c] = all
      // first the store for c alone, then, when its lease is out, for all
      outage([c])
      yield* until(() => !c.lease.valid())
      outage(all)
      yield* adjust("20 seconds")
      expect(c.lease.valid()).toBe(false)
      const asked = here.network.sent.filter(({ from, what }) => from === c.address && what === "ask").length
      expect(asked).toBeGreaterThan(0)
    }))

  it("a member that does not answer extends nothing: of three, the one cut off from the others stops, and so do they", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [a, b, c] = all
      here.network.cut(a.address, c.address)
      here.network.cut(b.address, c.address)
      outage(all)
      yield* adjust("10 seconds")
      expect(all.map(({ lease }) => lease.valid())).toEqual([false, false, false])
    }))

  it("a stranger, of whom two could not read, does not count their silence: they go on, and are not fenced", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b"])
      const [a, b] = all
      outage(all)
      yield* adjust("30 seconds")
      expect([a.lease.valid(), b.lease.valid()]).toEqual([true, true])
      // it joined beyond their view: the store is away for these two alone
      const c = yield* joined(here.backend, at(here, "c"))
      yield* adjust("30 seconds")
      expect([a, b, c].map(({ changes }) => changes)).toEqual([["held"], ["held"], ["held"]])
      expect([status(here, a), status(here, b)]).toEqual(["alive", "alive"])
      // once they have read of it, it is asked like any other
      back(all)
      yield* until(() => all.every(({ membership }) => membership.members().length === 2))
      yield* adjust("5 seconds")
      outage(all)
      yield* until(() => !a.lease.valid() && !b.lease.valid())
      expect(c.lease.valid()).toBe(true)
      // and does not fence them before they have stopped
      expect([status(here, a), status(here, b)]).toEqual(["alive", "alive"])
      yield* until(() => status(here, a) === "dead" && status(here, b) === "dead")
    }))

  it("an instance without members extends its own lease, until it reads of somebody", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      outage([a])
      yield* adjust("60 seconds")
      expect(a.changes).toEqual(["held"])
      const b = yield* joined(here.backend, at(here, "b"))
      yield* adjust("30 seconds")
      expect(a.changes).toEqual(["held"])
      expect(status(here, a)).toBe("alive")
      back([a])
      yield* until(() => a.membership.members().length === 1)
      yield* adjust("5 seconds")
      outage([a])
      yield* until(() => !a.lease.valid())
      expect(status(here, a)).toBe("alive")
      expect(b.lease.valid()).toBe(true)
    }))

  it("whoever says hello meanwhile, in whatever name, closes nothing, and says no lie that is believed", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b"])
      const [a, b] = all
      const liars = [
        { id: "z", incarnation: "of-z", address: address("z") },
        { id: "_index", incarnation: "evil", address: address("z") },
        // my own id; a living one's, under another life or at another address
        { id: "a", incarnation: "another-a", address: address("z") },
        { id: "b", incarnation: "another-b", address: b.address },
        { id: "b", incarnation: b.lease.life().incarnation, address: address("z") }
      ]
      const lie = Effect.forEach([a, b], ({ membership }) => Effect.forEach(liars, membership.hello))
      yield* lie
      outage(all)
      for (let i = 0; i < 40; i++) {
        const said = (yield* lie).flat()
        expect(said.filter(({ counted }) => counted)).toEqual([])
        yield* adjust("1 second")
      }
      expect([a.changes, b.changes]).toEqual([["held"], ["held"]])
      expect([a, b].map(({ membership }) => membership.members().map(({ id }) => id))).toEqual([["b"], ["a"]])
      back(all)
      yield* lie
      yield* adjust("10 seconds")
      expect(all.flatMap(names)).toEqual([])
    }))

  it("a member that says `fenced` is believed where the store cannot be read, and where it can the store is", () =>
    Effect.gen(function* () {
      for (const away of [false, true]) {
        const here = world()
        const lies = Layer.map(here.network.layer(address("a")), (context) => {
          const through = Context.get(context, Peers)
          const ask: typeof through.probeLease = (to, me) =>
            Effect.map(through.probeLease(to, me), (asked) => ({ ...asked, verdict: "fenced" }))
          return Context.make(Peers, { ...through, probeLease: ask })
        })
        const a = yield* joined(here.backend, at(here, "a", { peers: lies }))
        const b = yield* joined(here.backend, at(here, "b"))
        yield* adjust("5 seconds")
        // its own beat alone does not get through, or nothing does
        if (!away) a.faults.only = ({ operation }) => operation === "replace"
        outage([a])
        yield* adjust("4 seconds")
        expect(a.lease.life().ended()).toBe(away)
        expect(b.changes).toEqual(["held"])
      }
    }))

  it("a freeze longer than the lease ends what an instance without members extends", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      outage([a])
      yield* adjust("20 seconds")
      a.freeze()
      yield* adjust("10 seconds")
      expect(a.lease.life().valid()).toBe(false)
      yield* a.thaw
      yield* adjust("10 seconds")
      expect(a.lease.valid()).toBe(false)
    }))

  it("a member whose process is gone is no member: the others go on", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [a, b, c] = all
      outage(all)
      yield* adjust("10 seconds")
      yield* c.crash
      yield* adjust("30 seconds")
      expect([a.changes, b.changes]).toEqual([["held"], ["held"]])
      // and it is fenced as soon as that can be written
      back([a, b])
      yield* secondsUntil(() => status(here, c) === "dead")
      expect(stored(here.backend, instanceKey("c")).reason).toBe("refused")
    }))

  it("one that came back as another incarnation is not the member it was", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b"])
      const [a, b] = all
      outage(all)
      yield* adjust("5 seconds")
      yield* b.crash
      const again = yield* Effect.tap(start(here.backend, at(here, "b", { pid: 2 })), ({ faults }) =>
        Effect.sync(() => (faults.blackhole = true))
      )
      yield* adjust("30 seconds")
      expect(a.changes).toEqual(["held"])
      back([a, again])
      yield* until(again.lease.valid)
      expect(a.lease.valid()).toBe(true)
    }))

  it("whoever has fenced says so, and whose fence may still land promises nothing", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const life = b.lease.life()
      const me = { id: "b", incarnation: life.incarnation, address: b.address }
      expect((yield* a.membership.ask(me)).verdict).toBe("reached")
      outage([b])
      // the fence of b hangs
      a.faults.only = ({ key, operation }) =>
        key === instanceKey("b") && (operation === "replace" || operation === "get")
      a.faults.blackhole = true
      yield* adjust("9 seconds")
      a.faults.only = () => true
      yield* adjust("5 seconds")
      expect((yield* a.membership.ask(me)).verdict).toBe("reached")
      a.faults.heal()
      yield* until(() => status(here, b) === "dead")
      yield* adjust("100 millis")
      expect((yield* a.membership.ask(me)).verdict).toBe("fenced")
    }))
})
