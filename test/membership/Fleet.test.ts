import { describe, expect } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { Peers } from "../../src/ports/Peers.js"
import { address, at, back, fleet, it, names, outage, secondsUntil, status, world } from "./fleets.js"
import { adjust, joined, meddle, start, stored, until } from "./clockedInstances.js"

describe("a fleet at rest", () => {
  it("each sees the others; one write and one bulk read an interval and instance", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      for (const one of all) {
        expect(
          one.membership
            .members()
            .map(({ id }) => id)
            .sort()
        ).toEqual(["a", "b", "c"].filter((id) => id !== one.id))
        one.faults.calls.length = 0
      }
      yield* adjust("60 seconds")
      for (const { changes, faults } of all) {
        expect([faults.count("getMany"), faults.count("replace"), faults.calls.length]).toEqual([30, 30, 60])
        expect(changes).toEqual(["held"])
      }
    }))

  it("who comes, drains and leaves is announced once by each of the others", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* joined(here.backend, at(here, "c"))
      yield* adjust("5 seconds")
      expect([names(a), names(b), names(c)]).toEqual([["c joined"], ["c joined"], []])
      yield* Effect.fork(c.membership.drain)
      yield* adjust("5 seconds")
      expect(a.membership.live().map(({ id }) => id)).toEqual(["a", "b"])
      yield* Effect.fork(c.membership.leave)
      yield* adjust("10 seconds")
      for (const one of [a, b]) {
        expect(names(one)).toEqual(["c joined", "c draining", "c left"])
        expect(one.victims.map(({ id, reason }) => [id, reason])).toEqual([["c", "left"]])
        expect(one.membership.members()).toHaveLength(1)
      }
    }))

  it("a joiner has no share of the dials for two intervals, the others count it at once", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      expect(a.membership.dialShare()).toBe(1)
      const b = yield* joined(here.backend, at(here, "b"))
      yield* until(() => b.membership.members().length === 1)
      expect(b.membership.dialShare()).toBe(0)
      yield* adjust("3500 millis")
      expect([a.membership.dialShare(), b.membership.dialShare()]).toEqual([1 / 2, 0])
      yield* adjust("1 second")
      expect([a.membership.dialShare(), b.membership.dialShare()]).toEqual([1 / 2, 1 / 2])
    }))
})

describe("silence", () => {
  it("a frozen one is suspected, then fenced by one and seen by all; it ends at once when it wakes", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      const life = c.lease.life()
      c.freeze()
      yield* until(() => names(a).includes("c suspect"))
      expect(status(here, c)).toBe("alive")
      expect(a.membership.live().map(({ id }) => id)).not.toContain("c")
      const shown = (yield* a.membership.instances).map(({ id, status }) => [
        id,
        status.slice("INSTANCE_STATUS_".length)
      ])
      expect(shown).toEqual([
        ["a", "ALIVE"],
        ["b", "ALIVE"],
        ["c", "SUSPECT"]
      ])
      const waited = yield* secondsUntil(() => status(here, c) === "dead")
      expect(waited).toBeLessThan(4)
      yield* adjust("3 seconds")
      for (const one of [a, b]) {
        expect(names(one)).toEqual(["c suspect", "c dead"])
        expect(one.victims.map(({ id, incarnation, reason }) => [id, incarnation, reason])).toEqual([
          ["c", life.incarnation, "dead"]
        ])
        expect(one.changes).toEqual(["held"])
      }
      const { by, reason } = stored(here.backend, instanceKey("c"))
      expect(reason).toBe("silence")
      expect([a, b].map(({ lease }) => lease.life().incarnation)).toContain(by)
      expect(life.valid()).toBe(false)
      yield* c.thaw
      yield* until(() => life.ended())
      yield* until(c.lease.valid)
      expect(c.lease.life().incarnation).not.toBe(life.incarnation)
    }))

  it("a fence fits the version judged only: a beat in between ends the attempt", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, , c] = yield* fleet(here, ["a", "b", "c"])
      c.freeze()
      yield* until(() => names(a).includes("c suspect"))
      // it beats, and nobody has read it before the judgement
      const { faults } = a
      faults.only = ({ operation }) => operation === "getMany"
      let beats = 0
      const beat = meddle(here.backend, instanceKey("c"), (record) => ({ ...record, beat: record.beat + 1 }))
      for (let i = 0; i < 16; i++, beats++) {
        yield* beat
        yield* adjust("1 second")
      }
      expect(status(here, c)).toBe("alive")
    }))

  it("what was not read is no silence: the first to come back after an outage fences nobody", () =>
    Effect.gen(function* () {
      const here = world()
      const all = yield* fleet(here, ["a", "b", "c"])
      const [a, b, c] = all
      const lives = all.map(({ lease }) => lease.life())
      outage(all)
      yield* adjust("60 seconds")
      a.faults.heal()
      yield* adjust("5 seconds")
      expect([status(here, b), status(here, c)]).toEqual(["alive", "alive"])
      back([b, c])
      yield* adjust("20 seconds")
      expect(all.map(({ lease }) => lease.life())).toEqual(lives)
      expect(all.map(({ changes }) => changes)).toEqual([["held"], ["held"], ["held"]])
      // suspected, as they write later than the first reads, and never more
      expect(all.flatMap(names)).toEqual(["b suspect", "c suspect"])
    }))

  it("who was frozen itself doubts itself, not the others", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      // both stand still, and a goes on first
      a.freeze()
      b.freeze()
      yield* adjust("60 seconds")
      yield* a.thaw
      yield* adjust("5 seconds")
      expect(status(here, b)).toBe("alive")
      yield* adjust("5 seconds")
      expect(status(here, b)).toBe("dead")
      expect(a.lease.valid()).toBe(true)
    }))

  it("an answer after its deadline is no read", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      a.faults.only = ({ operation }) => operation === "getMany"
      a.faults.slow = Duration.millis(1500)
      b.freeze()
      yield* adjust("30 seconds")
      expect(status(here, b)).toBe("alive")
      a.faults.heal()
      yield* adjust("6 seconds")
      expect(status(here, b)).toBe("alive")
      yield* adjust("4 seconds")
      expect(status(here, b)).toBe("dead")
    }))

  it("an instance that is no longer in a state to act fences nobody", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      // reads, and cannot write
      a.faults.only = ({ operation }) => operation !== "getMany" && operation !== "get"
      a.faults.unavailable = true
      b.freeze()
      yield* adjust("20 seconds")
      expect(a.lease.valid()).toBe(false)
      expect(status(here, b)).toBe("alive")
    }))
})

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

describe("joining beside others", () => {
  it("a live record is waited for, and the one that waits, at another address, is no member of anybody's", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const life = a.lease.life()
      // the same id at another address
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      yield* adjust("10 seconds")
      expect(again.lease.valid()).toBe(false)
      expect(a.lease.life()).toBe(life)
      expect([a, b].map(({ membership }) => membership.members().map((m) => m.address))).toEqual([
        [b.address],
        [a.address]
      ])
    }))

  it("who waits promises too: the store away for it and the holder, the holder goes on", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      yield* adjust("5 seconds")
      outage([a, again])
      yield* adjust("40 seconds")
      expect(a.changes).toEqual(["held"])
      // and it does not count what it did not hear
      again.faults.heal()
      yield* adjust("5 seconds")
      expect(status(here, a)).toBe("alive")
      a.faults.heal()
      yield* adjust("10 seconds")
      expect(a.changes).toEqual(["held"])
      expect(again.lease.valid()).toBe(false)
    }))

  it("fenced while it was writing its first record, it takes a new incarnation", () =>
    Effect.gen(function* () {
      const here = world()
      const b = yield* joined(here.backend, at(here, "b"))
      const tries: Array<string> = []
      const seen = () => {
        const record = stored(here.backend, instanceKey("a"))
        if (record !== undefined && !tries.includes(record.incarnation)) tries.push(record.incarnation)
      }
      const a = yield* start(here.backend, at(here, "a"))
      a.faults.only = ({ key }) => key === instanceKey("a")
      a.faults.swallowResponse(1)
      yield* until(() => {
        seen()
        return tries.length === 1
      })
      // its first record has landed, it knows nothing of that, and is fenced
      yield* meddle(here.backend, instanceKey("a"), (record) => ({ ...record, status: "dead", nonce: "x" }))
      yield* until(() => {
        seen()
        return a.lease.valid()
      })
      expect(tries).toHaveLength(2)
      expect(a.lease.life().incarnation).toBe(tries[1])
      expect(stored(here.backend, INDEX_KEY).ids.a).toBe(tries[1])
      expect(b.lease.valid()).toBe(true)
    }))

  it("begins its victims anew with each life, with those that ended before it came", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      yield* c.crash
      yield* until(() => a.victims.length === 1 && b.victims.length === 1)
      const life = a.lease.life()
      yield* meddle(here.backend, instanceKey("a"), (record) => ({ ...record, status: "dead", nonce: "x" }))
      yield* until(() => life.ended() && a.lease.valid())
      yield* adjust("3 seconds")
      expect(a.victims.map(({ id }) => id)).toEqual(["c", "c"])
      // done is done
      yield* meddle(here.backend, instanceKey("c"), (record) => ({ ...record, status: "done", nonce: "x" }))
      const d = yield* joined(here.backend, at(here, "d"))
      yield* adjust("5 seconds")
      expect(d.victims).toEqual([])
    }))
})
