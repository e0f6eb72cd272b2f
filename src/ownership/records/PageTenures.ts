/** The tenures of this instance: its pages, taken over and written under one incarnation after the other. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Queue from "effect/Queue"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import type { Incarnation, Lease } from "../../membership/lease/Lease.js"
import * as Pages from "./Pages.js"
import type { PageTenure, StoreContext } from "./StoreContext.js"

/** One tenure for each incarnation: its pages are taken over, then written, until it ends. */
export const followIncarnations = (context: StoreContext, lease: Lease["Type"]) =>
  Effect.gen(function* () {
    const tenures = yield* Queue.unbounded<PageTenure>()
    let forgotten = new Map<string, ConnectionRecord>()
    let unlisted = new Set<string>()

    const begin = (life: Incarnation): void => {
      if (context.tenure?.life === life) return
      const wants = new Map<string, number>()
      const pages = Pages.make({
        store: context.store,
        instanceId: context.instanceId,
        life,
        check: context.membership.check(life),
        unread: (n, reason) =>
          Effect.zipRight(
            Effect.logError(`page ${n} of this instance is left as it is: ${reason}`),
            context.essentials.retrying(`page ${n} of this instance`, 0).failed(reason)
          ),
        keep: (id) => context.owned.has(id) || wants.has(id)
      })
      context.tenure = { life, pages, retained: wants, adopted: Deferred.unsafeMake(FiberId.none), forgotten, unlisted }
      forgotten = new Map()
      unlisted = new Set()
      tenures.unsafeOffer(context.tenure)
    }

    const end = (life: Incarnation): void => {
      const held = Array.from(context.owned.values()).filter((owned) => owned.life === life)
      for (const owned of held) context.owned.delete(owned.id)
      const tenure = context.tenure?.life === life ? context.tenure : undefined
      if (tenure !== undefined) {
        forgotten = new Map(tenure.forgotten)
        unlisted = new Set(tenure.unlisted)
      }
      if (context.membership.endOf(life) !== "emptied") return
      for (const owned of held) forgotten.set(owned.id, owned.record())
      // A create whose answer is still out: the page that names it went with the store, its record may come after.
      for (const id of tenure?.pages.ids() ?? []) if (!forgotten.has(id)) unlisted.add(id)
    }

    const stop = lease.onChange((change, life) => {
      if (change === "held") begin(life)
      if (change === "ended") end(life)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    if (lease.valid()) begin(lease.life())

    const serve = (tenure: PageTenure) =>
      Effect.gen(function* () {
        if (!(yield* tenure.pages.adopt)) return
        yield* Deferred.succeed(tenure.adopted, undefined)
        yield* tenure.pages.writer
      })

    yield* Queue.take(tenures).pipe(
      Effect.flatMap((tenure) =>
        // a waiter for pages that this incarnation will never have is told so, and leaves the turn to the next one
        Effect.ensuring(
          Effect.raceFirst(context.essentials.essential("pages of this instance", serve(tenure)), tenure.life.awaitEnd),
          Deferred.fail(tenure.adopted, Pages.LIFE_ENDED)
        )
      ),
      Effect.forever,
      Effect.forkScoped
    )
  })
