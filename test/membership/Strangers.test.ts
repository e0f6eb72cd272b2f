import { describe, expect } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { PeerRefused, Peers } from "../../src/ports/Peers.js"
import { PeerNetwork } from "../support/PeerNetwork.js"
import { address, at, back, fleet, it, names, outage, secondsUntil, status, world } from "./fleets.js"
import { adjust, type Instance, joined, start, stored, until } from "./clockedInstances.js"

const ids = ({ membership }: Instance) => membership.members().map(({ id }) => id)
const addresses = ({ membership }: Instance) => membership.members().map((member) => member.address)

describe("who said hello and is gone before the next read", () => {
  it("left: it is no member, and the store away for all costs nobody the lease", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* joined(here.backend, at(here, "c"))
      yield* until(() => ids(a).includes("c") && ids(b).includes("c"), "1 millis")
      yield* c.membership.leave
      expect(stored(here.backend, INDEX_KEY).ids.c).toBeUndefined()
      // nobody has read of it, and its host says nothing
      expect([ids(a), ids(b)]).toEqual([
        ["b", "c"],
        ["a", "c"]
      ])
      for (const one of [a, b]) here.network.cut(one.address, c.address)
      yield* adjust("5 seconds")
      expect([ids(a), ids(b)]).toEqual([["b"], ["a"]])
      outage([a, b])
      yield* adjust("30 seconds")
      expect([a.changes, b.changes]).toEqual([["held"], ["held"]])
    }))

  it("its record is there no more: it is no member either", () =>
    Effect.gen(function* () {
      const here = world()
      const [a] = yield* fleet(here, ["a", "b"])
      const greeting = yield* a.membership.hello({ id: "c", incarnation: "of-c", address: address("c") })
      expect(greeting.counted).toBe(false)
      expect(ids(a)).toEqual(["b"])
      yield* adjust("5 seconds")
      expect(ids(a)).toEqual(["b"])
    }))

  it("killed before its index entry: its record is read all the same, and it is fenced for its silence", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* start(here.backend, at(here, "c"))
      c.faults.only = ({ key, operation }) => key === INDEX_KEY && operation !== "getMany"
      c.faults.blackhole = true
      yield* until(() => ids(a).includes("c") && ids(b).includes("c"), "1 millis")
      for (const one of [a, b]) here.network.cut(one.address, c.address)
      yield* c.crash
      expect(stored(here.backend, INDEX_KEY).ids.c).toBeUndefined()
      yield* until(() => status(here, c) === "dead")
      expect(stored(here.backend, instanceKey("c")).reason).toBe("silence")
      yield* adjust("3 seconds")
      expect([a, b].map(({ victims }) => victims.map(({ id }) => id))).toEqual([["c"], ["c"]])
      expect([ids(a), ids(b)]).toEqual([["b"], ["a"]])
    }))
})

describe("who waits for my id", () => {
  it("has no record, and is no member: it waits as long as I answer, also while I do not reach the store", () =>
    Effect.gen(function* () {
      const here = world()
      const a = yield* joined(here.backend, at(here, "a"))
      const again = yield* start(here.backend, { ...at(here, "a", { pid: 2 }), address: address("a2") })
      for (let i = 0; i < 60; i++) {
        yield* adjust("1 second")
        expect(addresses(a)).toEqual([])
      }
      outage([a])
      yield* adjust("60 seconds")
      expect([a.changes, status(here, a)]).toEqual([["held"], "alive"])
      back([a])
      yield* adjust("5 seconds")
      expect([a.changes, again.lease.valid()]).toEqual([["held"], false])
      // one that does not answer is waited for no longer than its lease
      yield* a.crash
      yield* until(again.lease.valid)
    }))
})

describe("an address that is not its own alone", () => {
  it("two that advertise the same one: an answer from myself is none, and the one cut off stops", () =>
    Effect.gen(function* () {
      const here = world()
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        if (logLevel.label === "ERROR") lines.push(String(message))
      })
      yield* Effect.gen(function* () {
        // each on a host of its own, where the address is itself
        const same = { ...here, network: new PeerNetwork() }
        const a = yield* joined(here.backend, { ...at(here, "a"), address: address("local") })
        const b = yield* joined(here.backend, { ...at(same, "b"), address: address("local") })
        yield* adjust("10 seconds")
        expect([ids(a), ids(b)]).toEqual([["b"], ["a"]])
        outage([b])
        yield* until(() => !b.lease.valid())
        expect(b.changes).toEqual(["held", "lost"])
        yield* until(() => status(here, b) === "dead")
        expect(a.changes).toEqual(["held"])
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      const said = lines.filter((line) => line.includes("WSM_ADVERTISE_ADDRESS"))
      expect(said.map((line) => line.slice(0, 10)).sort()).toEqual(["instance a", "instance b"])
    }))

  it("a third that answers there proves nothing of the one I asked for", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b] = yield* fleet(here, ["a", "b"])
      const c = yield* joined(here.backend, { ...at(here, "c"), address: b.address })
      yield* adjust("5 seconds")
      outage([a, b, c])
      yield* adjust("10 seconds")
      expect(ids(a).sort()).toEqual(["b", "c"])
      expect(a.lease.valid()).toBe(false)
    }))
})

describe("a link that broke before", () => {
  it("a kill while it is made anew is heard like any other", () =>
    Effect.gen(function* () {
      for (const pauses of [[50], [400, 300]]) {
        const here = world()
        const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
        for (const pause of pauses) {
          for (const one of [a, b]) here.network.reset(one.address, c.address)
          yield* adjust(pause)
        }
        yield* c.crash
        expect(yield* secondsUntil(() => status(here, c) === "dead")).toBeLessThan(1.5)
        expect(stored(here.backend, instanceKey("c")).reason).toBe("refused")
      }
    }))

  it("while it stands, a call that finds another connection refused proves nothing", () =>
    Effect.gen(function* () {
      const here = world()
      let refused = false
      const peers = Layer.map(here.network.layer(address("a")), (context) => {
        const through = Context.get(context, Peers)
        const hello: typeof through.hello = (to, me) =>
          Effect.suspend(() => (refused ? new PeerRefused({ address: to }) : through.hello(to, me)))
        return Context.make(Peers, { ...through, hello })
      })
      const a = yield* joined(here.backend, at(here, "a", { peers }))
      const c = yield* joined(here.backend, at(here, "c"))
      yield* adjust("5 seconds")
      refused = true
      yield* Effect.fork(a.membership.gone({ id: "c", incarnation: c.lease.life().incarnation, address: c.address }))
      yield* adjust("10 seconds")
      expect(c.changes).toEqual(["held"])
    }))
})

describe("who has left and still answers calls", () => {
  it("does not speak of the others from memory", () =>
    Effect.gen(function* () {
      const here = world()
      const [a, b, c] = yield* fleet(here, ["a", "b", "c"])
      const { incarnation } = c.lease.life()
      yield* a.membership.leave
      yield* c.crash
      yield* until(() => status(here, c) === "dead")
      expect(yield* a.membership.addressOf("c", incarnation)).toMatchObject({ _tag: "None" })
      yield* adjust("20 seconds")
      expect(names(b)).toContain("a left")
      const shown = yield* a.membership.instances
      expect(shown.filter(({ id }) => id === "b").map(({ status }) => status)).toEqual(["INSTANCE_STATUS_ALIVE"])
    }))
})
