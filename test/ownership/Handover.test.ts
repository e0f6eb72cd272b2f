import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { FAILED } from "../../src/domain/ConnectionStatus.js"
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { type Instance, meddle, until, writes } from "../membership/clockedInstances.js"
import { create, member, onPages, record, stepping } from "./survivors.js"

const peer = (one: Instance) => ({ id: one.id, incarnation: one.lease.life().incarnation })

const two = Effect.gen(function* () {
  const backend = new MemoryBackend()
  const source = yield* member(backend, "source", { reclaims: false })
  const target = yield* member(backend, "target", { reclaims: false })
  const owned = yield* create(source)
  return { backend, source, target, owned }
})

describe("a planned move", () => {
  it.scoped("is offered in the record, and claimed by the target: page first, with a higher epoch", () =>
    Effect.gen(function* () {
      const { backend, owned, source, target } = yield* two
      const told: Array<string> = []
      source.store.onDisowned(({ id }) => told.push(id))
      expect(yield* source.store.offerHandover(owned, peer(target))).toBe(true)
      expect(record(backend, owned.id)).toMatchObject({ owner: "source", epoch: owned.epoch, handover: peer(target) })
      target.faults.calls.length = 0
      const claimed = Option.getOrThrow(yield* target.store.claimHandover(owned.id, owned.epoch))
      expect(claimed).toMatchObject({ from: "source", before: { id: owned.id, epoch: owned.epoch } })
      expect(writes(target, "/connections/").map((key) => key.includes("/instances/"))).toEqual([true, false])
      expect(claimed.owned.epoch).toBeGreaterThan(owned.epoch)
      expect(record(backend, owned.id)).toMatchObject({ owner: "target", epoch: claimed.owned.epoch })
      expect(record(backend, owned.id).handover).toBeUndefined()
      // the source takes it back too late: it reads, and lets go
      expect(yield* source.store.takeBack(owned)).toBe(false)
      expect(owned.isOwned()).toBe(false)
      expect(told).toEqual([owned.id])
      yield* until(() => onPages(backend, "source").length === 0)
      expect(onPages(backend, "target")).toEqual([owned.id])
    })
  )

  it.scoped("is claimed by nobody else, at no other epoch, and not once it was taken back", () =>
    Effect.gen(function* () {
      const { backend, owned, source, target } = yield* two
      const other = yield* member(backend, "other", { reclaims: false })
      const nobody = (one: Instance, epoch = owned.epoch) =>
        Effect.map(one.store.claimHandover(owned.id, epoch), (claimed) => expect(Option.isNone(claimed)).toBe(true))
      yield* nobody(target)
      yield* source.store.offerHandover(owned, peer(target))
      yield* nobody(other)
      yield* nobody(target, owned.epoch + 1)
      expect(yield* source.store.takeBack(owned)).toBe(true)
      yield* nobody(target)
      yield* source.store.offerHandover(owned, { id: "target", incarnation: "a former one" })
      yield* nobody(target)
      expect(owned.isOwned()).toBe(true)
      expect(record(backend, owned.id)).toMatchObject({ owner: "source", epoch: owned.epoch })
      expect([...onPages(backend, "other"), ...onPages(backend, "target")]).toEqual([])
    })
  )

  it.scoped(
    "taken back while the claim is on its way: the claim loses, at the same epoch, and leaves the target's page",
    () =>
      Effect.gen(function* () {
        const { backend, owned, source, target } = yield* two
        yield* source.store.offerHandover(owned, peer(target))
        target.faults.only = ({ key, operation }) => key === connectionKey(owned.id) && operation === "replace"
        target.faults.slow = Duration.seconds(1)
        const claiming = yield* Effect.fork(target.store.claimHandover(owned.id, owned.epoch))
        yield* until(() => onPages(backend, "target").length === 1)
        expect(yield* source.store.takeBack(owned)).toBe(true)
        expect(yield* stepping(claiming.await)).toMatchObject({ _tag: "Success", value: { _tag: "None" } })
        expect(record(backend, owned.id)).toMatchObject({ owner: "source", epoch: owned.epoch })
        yield* until(() => onPages(backend, "target").length === 0)
        expect(owned.isOwned()).toBe(true)
      })
  )

  it.scoped(
    "no status is written behind while it is offered: the claim would lose to it; what was noted is written after",
    () =>
      Effect.gen(function* () {
        const { backend, owned, source, target } = yield* two
        yield* source.store.offerHandover(owned, peer(target))
        source.faults.calls.length = 0
        source.store.note(owned, () => ({ status: FAILED }))
        yield* TestClock.adjust("6 seconds")
        yield* source.store.flush
        expect(writes(source, connectionKey(owned.id))).toEqual([])
        yield* source.store.takeBack(owned)
        yield* until(() => record(backend, owned.id).status === FAILED)
      })
  )

  it.scoped("keeps an offer whose answer was lost, and one whose caller has gone", () =>
    Effect.gen(function* () {
      const { backend, owned, source, target } = yield* two
      source.faults.only = ({ key }) => key === connectionKey(owned.id)
      source.faults.swallowResponse(1)
      const offering = yield* Effect.fork(source.store.offerHandover(owned, peer(target)))
      yield* TestClock.adjust("100 millis")
      yield* Effect.fork(offering.interruptAsFork(offering.id()))
      yield* until(() => record(backend, owned.id).handover !== undefined)
      yield* TestClock.adjust("3 seconds")
      expect(yield* source.store.takeBack(owned)).toBe(true)
      expect(owned.isOwned()).toBe(true)
    })
  )

  it.scoped("an offer of what is another's already is none", () =>
    Effect.gen(function* () {
      const { backend, owned, source, target } = yield* two
      yield* meddle(backend, connectionKey(owned.id), (found) => ({ ...found, owner: "elsewhere" }))
      expect(yield* source.store.offerHandover(owned, peer(target))).toBe(false)
      expect(owned.isOwned()).toBe(false)
      expect(yield* source.store.offerHandover(owned, peer(target))).toBe(false)
    })
  )
})
