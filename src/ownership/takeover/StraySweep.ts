/**
 * Ids on our own pages that this instance neither owns nor works on: of lost races, and of claims whose caller has gone. They are
 * sorted like those of an ended instance. Ids that are ours by their record, or orphans, become ours.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { isTombstone } from "../../domain/stored/ConnectionRecord.js"
import { PAGE_SIZE } from "../../domain/stored/Keys.js"
import { isTaken } from "./Claim.js"
import { formerIncarnations, type Observation, observe, type Orphan, reconcile } from "./Reconcile.js"
import { claimGroup, groups, type TakeoverContext } from "./Takeover.js"

const EVERY = "2 seconds"

/** Goes on until the incarnation ends. */
export const sweep = (services: Omit<TakeoverContext, "live" | "interval">): Effect.Effect<void> => {
  const { context, tenure } = services
  const { life, pages } = tenure
  const former = formerIncarnations(context, tenure)
  /** seen astray the last time: what is on its way from one hand to the next is not there twice */
  let before: ReadonlySet<string> = new Set()

  const settle = ({ id, ...rest }: Observation) =>
    Effect.gen(function* () {
      if (isTaken(context, tenure, id)) return undefined
      const verdict = yield* reconcile(context, tenure, former, { id, ...rest }, { patient: false })
      if (verdict._tag === "Settled") pages.drop(id)
      if (verdict._tag === "Orphan") return verdict
      const { stored, version } = rest
      if (verdict._tag !== "Mine" || stored === undefined || isTombstone(stored)) return undefined
      return { _tag: "Orphan", record: stored, version: version!, reason: "restart" } satisfies Orphan
    }).pipe(
      Effect.catchAll((error) => Effect.as(Effect.logDebug(`connection ${id} cannot be sorted yet`, error), undefined))
    )

  const once = Effect.gen(function* () {
    const astray = pages.ids().filter((id) => !isTaken(context, tenure, id))
    // what has left our pages is not met again
    if (astray.length === 0) former.renewed.clear()
    const twice = astray.filter((id) => before.has(id))
    before = new Set(astray)
    for (let at = 0; at < twice.length && life.valid(); at += PAGE_SIZE) {
      const seen = yield* observe(context, life, twice.slice(at, at + PAGE_SIZE))
      const sights = seen.flatMap(([, sight]) => (Either.isRight(sight) ? [sight.right] : []))
      const orphans = (yield* Effect.forEach(sights, settle, { concurrency: 16 })).filter((one) => one !== undefined)
      for (const some of groups(orphans, services.group))
        yield* claimGroup(services, some, (id, error) => Effect.logDebug(`connection ${id} is left as it is`, error))
    }
  }).pipe(Effect.catchAll((error) => Effect.logDebug("my pages cannot be swept yet", error)))

  return Effect.gen(function* () {
    while (!life.ended() && !services.gate.closed) {
      yield* Effect.sleep(EVERY)
      if (life.valid()) yield* once
    }
  })
}
