/** The tenures of this instance: its pages, taken over and written under one life after the other. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Queue from "effect/Queue"
import type { ConnectionRecord } from "../domain/Record.js"
import type { Lease, Life } from "../membership/Lease.js"
import * as Pages from "./Pages.js"
import type { Room, Tenure } from "./Room.js"

/** One tenure for each life: its pages are taken over, then written, until it ends. */
export const followLives = (room: Room, lease: Lease["Type"]) =>
  Effect.gen(function* () {
    const tenures = yield* Queue.unbounded<Tenure>()
    let forgotten = new Map<string, ConnectionRecord>()

    const begin = (life: Life): void => {
      if (room.tenure?.life === life) return
      const wants = new Map<string, number>()
      const pages = Pages.make({
        store: room.store,
        instanceId: room.instanceId,
        life,
        check: room.membership.check(life),
        unread: (n, reason) =>
          Effect.zipRight(
            Effect.logError(`page ${n} of this instance is left as it is: ${reason}`),
            room.essentials.retrying(`page ${n} of this instance`, 0).failed(reason)
          ),
        keep: (id) => room.owned.has(id) || wants.has(id)
      })
      room.tenure = { life, pages, wants, adopted: Deferred.unsafeMake(FiberId.none), forgotten }
      forgotten = new Map()
      tenures.unsafeOffer(room.tenure)
    }

    const end = (life: Life): void => {
      const held = Array.from(room.owned.values()).filter((owned) => owned.life === life)
      for (const owned of held) room.owned.delete(owned.id)
      if (room.tenure?.life === life) forgotten = new Map(room.tenure.forgotten)
      if (room.membership.endOf(life) !== "emptied") return
      for (const owned of held) if (!owned.removing) forgotten.set(owned.id, owned.record())
    }

    const stop = lease.onChange((change, life) => {
      if (change === "held") begin(life)
      if (change === "ended") end(life)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    if (lease.valid()) begin(lease.life())

    const serve = (tenure: Tenure) =>
      Effect.gen(function* () {
        if (!(yield* tenure.pages.adopt)) return
        yield* Deferred.succeed(tenure.adopted, undefined)
        yield* tenure.pages.writer
      })

    const over = (life: Life) =>
      Effect.async<void>((resume) => {
        if (life.ended()) return resume(Effect.void)
        const stop = lease.onChange((change, of) => {
          if (change !== "ended" || of !== life) return
          stop()
          resume(Effect.void)
        })
        return Effect.sync(stop)
      })

    yield* Queue.take(tenures).pipe(
      Effect.flatMap((tenure) =>
        // a waiter for pages that this life will never have is told so, and leaves the turn to the next one
        Effect.ensuring(
          Effect.raceFirst(room.essentials.essential("pages of this instance", serve(tenure)), over(tenure.life)),
          Deferred.fail(tenure.adopted, Pages.LIFE_ENDED)
        )
      ),
      Effect.forever,
      Effect.forkScoped
    )
  })
