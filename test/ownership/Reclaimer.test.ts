import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { RECONNECTING } from "../../src/domain/ConnectionStatus.js"
import { instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { place } from "../../src/ownership/takeover/Placement.js"
import { until } from "../membership/clockedInstances.js"
import { createMany, heartbeat, index, isDone, kill, member, onPages, page, record, vanishes } from "./survivors.js"

describe("taking over", () => {
  it.scoped(
    "what a killed instance owned is claimed once, by placement, with a higher epoch; nothing of it is left",
    () =>
      Effect.gen(function* () {
        const backend = new MemoryBackend()
        const a = yield* member(backend, "a")
        const b = yield* member(backend, "b")
        const c = yield* member(backend, "c")
        const owned = yield* createMany(a, 300)
        yield* until(() => b.membership.live().length === 3 && c.membership.live().length === 3)
        const { incarnation } = a.lease.life()
        yield* kill(backend, a)
        yield* until(() => isDone(backend, "a"))
        expect(b.claimed.length + c.claimed.length).toBe(300)
        for (const survivor of [b, c]) {
          for (const { before, from, owned: mine, reason } of survivor.claimed) {
            expect({ from, reason }).toEqual({ from: "a", reason: "dead" })
            expect(place(mine.id, ["b", "c"])).toBe(survivor.id)
            expect(mine.epoch).toBeGreaterThan(before.epoch)
            expect(mine.isOwned()).toBe(true)
            expect(record(backend, mine.id)).toMatchObject({
              owner: survivor.id,
              incarnation: survivor.lease.life().incarnation,
              epoch: mine.epoch,
              status: RECONNECTING
            })
          }
          expect(new Set(onPages(backend, survivor.id))).toEqual(new Set(survivor.claimed.map((one) => one.owned.id)))
        }
        expect(new Set([...b.claimed, ...c.claimed].map((one) => one.owned.id))).toEqual(
          new Set(owned.map(({ id }) => id))
        )
        expect(heartbeat(backend, "a")).toMatchObject({ incarnation, status: "done" })
        expect(page(backend, "a")).toMatchObject({ incarnation, ids: [], sealed: true, end: true })
        expect(page(backend, "a", 2)).toMatchObject({ ids: [], sealed: true, end: true })
        expect(Object.keys(index(backend))).toEqual(["b", "c"])
        for (const key of [instanceKey("a"), pageKey("a", 0), pageKey("a", 1), pageKey("a", 2)]) {
          expect(vanishes(backend, key)).toBe(true)
        }
      }),
    60_000
  )
})
