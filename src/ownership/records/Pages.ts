/**
 * The pages of this instance under one incarnation: which connections it owns, for the instances that take over from it.
 *
 * One writer, one write at a time; what comes while one is in flight goes into the next. Page n + 1 is made only after n
 * was acknowledged, so a reader reads up to the first missing one.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { decodePage, encodePage, type Page } from "../../domain/stored/InstanceRecord.js"
import { PAGE_SIZE, pageKey } from "../../domain/stored/Keys.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import { DEPARTED_TTL } from "../../membership/lease/LeaseTimings.js"
import type { StateStore, ValueTooLarge, Version, Versioned } from "../../ports/StateStore.js"
import { type GuardedWrite, type Outcome, put } from "../../state/GuardedWrite.js"

export interface PagesServices {
  readonly store: StateStore["Type"]
  readonly instanceId: string
  readonly life: Incarnation
  /** Whether the incarnation still stands in the store; ends it if not. */
  readonly check: Effect.Effect<boolean, StateStoreUnavailable>
  /** Tells of a page that cannot be understood. */
  readonly unread: (n: number, reason: string) => Effect.Effect<void>
  /** Whether this id must stay: owned, or being claimed or created. */
  readonly keep: (id: string) => boolean
}

interface MyPage {
  /** undefined: the store has lost it, it is made anew */
  readonly version: Version | undefined
  readonly ids: ReadonlySet<string>
  readonly unknown: Page["unknown"]
  /** it was written to vanish */
  readonly expiring?: boolean
  /** it cannot be understood: left as it is, and nothing is written there */
  readonly unread?: boolean
}

export interface Pages {
  /** Adopts the pages of a former incarnation of this instance; false when the incarnation ended over it. First of all. */
  readonly adopt: Effect.Effect<boolean>
  /** Done when the id stands on a page, acknowledged. Fails when the store says that nothing was changed. */
  readonly add: (id: string) => Effect.Effect<void, StateStoreUnavailable>
  /** Takes the id off its page, behind; not if it must be kept by then. */
  readonly drop: (id: string) => void
  /** What the pages name, without what is about to go off them. */
  readonly ids: () => ReadonlyArray<string>
  /** Nothing on any page, nothing waiting to be written, no write open; not known before the pages are adopted. */
  readonly empty: () => boolean
  /** Has the writer write them, empty as they are, to vanish in an hour. Ends when they are written, or the first write fails. */
  readonly expire: Effect.Effect<void>
  /** The writer; ends with the incarnation. */
  readonly writer: Effect.Effect<void>
}

const PAGE_RETRY_DELAY = "200 millis"
const TOO_LARGE = new StateStoreUnavailable({ reason: "a page is too large" })
export const LIFE_ENDED = new StateStoreUnavailable({ reason: "this instance was fenced" })

export const make = ({ check, instanceId, keep, life, store, unread }: PagesServices): Pages => {
  const pages: Array<MyPage> = []
  const where = new Map<string, number>()
  const adds = new Map<string, Deferred.Deferred<void, StateStoreUnavailable>>()
  const drops = new Set<string>()
  /** taken off by the write that is in flight */
  let leaving: ReadonlySet<string> = new Set()
  let writing = false
  /** all that a former incarnation left has been read */
  let complete = false
  /** asked for: the pages shall vanish */
  let expired: Deferred.Deferred<void> | undefined
  const wake = Effect.unsafeMakeLatch(false)

  const write = (
    n: number,
    next: Pick<MyPage, "ids" | "unknown">,
    expected: Version | undefined,
    patient: boolean,
    ttl?: Duration.Duration
  ): Effect.Effect<Outcome, StateStoreUnavailable | ValueTooLarge> => {
    const guarded: GuardedWrite = {
      key: pageKey(instanceId, n),
      expected,
      value: (nonce) =>
        encodePage({ incarnation: life.incarnation, sealed: false, ids: [...next.ids], nonce, unknown: next.unknown }),
      mayWrite: life.valid,
      abandoned: life.ended,
      stands: check,
      patient,
      ...(ttl !== undefined && { ttl })
    }
    return put(store, guarded)
  }

  const keepPage = (n: number, page: MyPage): void => {
    for (const id of pages[n]?.ids ?? []) if (!page.ids.has(id)) where.delete(id)
    for (const id of page.ids) where.set(id, n)
    pages[n] = page
  }

  const decode = (n: number, { value, version }: Versioned) =>
    Effect.map(decodePage(instanceId, n, value), (page) => ({
      page: { version, ids: new Set(page.ids), unknown: page.unknown },
      end: page.end === true
    }))

  const adoptOne = (
    n: number
  ): Effect.Effect<"mine" | "none" | "last" | "ended", StateStoreUnavailable | ValueTooLarge> =>
    Effect.gen(function* () {
      for (;;) {
        const read = yield* store.get(pageKey(instanceId, n))
        if (Option.isNone(read)) return "none"
        const decoded = yield* Effect.either(decode(n, read.value))
        if (Either.isLeft(decoded)) {
          keepPage(n, { version: read.value.version, ids: new Set(), unknown: {}, unread: true })
          yield* unread(n, decoded.left.reason ?? "")
          return "mine"
        }
        const { end, page } = decoded.right
        const written = yield* write(n, page, page.version, true)
        if (written._tag === "Written") {
          keepPage(n, { ...page, version: written.version })
          return end ? "last" : "mine"
        }
        // another instance seals the page of our former incarnation, or of this one
        if (!(yield* check)) return "ended"
      }
    })

  const adopt: Pages["adopt"] = Effect.gen(function* () {
    for (let n = 0; !life.ended();) {
      const adopted = yield* Effect.either(adoptOne(n))
      if (Either.isLeft(adopted)) {
        if (life.ended()) break
        yield* Effect.logWarning(`page ${n} of this instance could not be taken over yet`, adopted.left)
        yield* Effect.sleep("1 second")
      } else if (adopted.right === "mine") n++
      else {
        complete = adopted.right !== "ended"
        return complete
      }
    }
    return false
  })

  // ---------------------------------------------------------------- writing

  const pageWithRoom = (): number => {
    const n = pages.findIndex((page) => page.ids.size < PAGE_SIZE && page.unread !== true)
    return n === -1 ? pages.length : n
  }

  /** The next write: a page, what goes off it and what comes onto it; undefined when nothing is to be written. */
  const plan = () => {
    for (const id of drops) if (!where.has(id) || keep(id)) drops.delete(id)
    const first = drops.values().next()
    if (adds.size === 0 && first.done === true) return undefined
    const n = adds.size > 0 ? pageWithRoom() : where.get(first.value!)!
    const off = new Set([...drops].filter((id) => where.get(id) === n))
    const ids = new Set([...(pages[n]?.ids ?? [])].filter((id) => !off.has(id)))
    const on: Array<string> = []
    for (const id of adds.keys()) {
      if (ids.size >= PAGE_SIZE) break
      ids.add(id)
      on.push(id)
    }
    return { n, off, on, ids }
  }

  /** The last page first: a reader reads up to the first missing one, and none may be behind it. */
  const expireNext = (): Effect.Effect<void> | undefined => {
    if (expired === undefined) return undefined
    const n = where.size === 0 ? pages.findLastIndex((page) => page.expiring !== true && page.unread !== true) : -1
    const page = pages[n]
    if (page === undefined) {
      Deferred.unsafeDone(expired, Effect.void)
      expired = undefined
      return undefined
    }
    return write(n, page, page.version, false, DEPARTED_TTL).pipe(
      Effect.either,
      Effect.flatMap((written) => {
        const outcome = Either.getOrUndefined(written)
        if (outcome?._tag === "Written") {
          return Effect.sync(() => keepPage(n, { ...page, version: outcome.version, expiring: true }))
        }
        if (expired !== undefined) Deferred.unsafeDone(expired, Effect.void)
        expired = undefined
        return outcome === undefined ? Effect.void : lost(n, outcome.current)
      })
    )
  }

  const failAdds = (ids: Iterable<string>, error: StateStoreUnavailable): void => {
    for (const id of Array.from(ids)) {
      const waiting = adds.get(id)
      adds.delete(id)
      if (waiting !== undefined) Deferred.unsafeDone(waiting, Effect.fail(error))
    }
  }

  const step = (planned: NonNullable<ReturnType<typeof plan>>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const { ids, n, off, on } = planned
      const page = pages[n]
      leaving = off
      const unknown = page?.unknown ?? {}
      // An emptied store tells the owner of a page by the next write. One that makes its first page asks: it would hear of it
      // from its next beat only, and take connections until then.
      const asked = page?.version === undefined ? Effect.filterOrFail(check, Boolean, () => LIFE_ENDED) : Effect.void
      const written = yield* Effect.either(Effect.zipRight(asked, write(n, { ids, unknown }, page?.version, false)))
      leaving = new Set()
      if (Either.isLeft(written)) {
        failAdds(on, written.left._tag === "ValueTooLarge" ? TOO_LARGE : written.left)
        yield* Effect.sleep(PAGE_RETRY_DELAY)
        return
      }
      if (written.right._tag === "Written") {
        keepPage(n, { ids, unknown, version: written.right.version })
        for (const id of off) drops.delete(id)
        for (const id of on) {
          const waiting = adds.get(id)
          adds.delete(id)
          if (waiting !== undefined) Deferred.unsafeDone(waiting, Effect.void)
        }
        return
      }
      // another instance writes our pages only to seal them: then this incarnation has ended
      yield* lost(n, written.right.current)
    })

  const lost = (n: number, current: Option.Option<Versioned>): Effect.Effect<void> =>
    Effect.gen(function* () {
      if (!(yield* check)) return
      if (Option.isSome(current)) return keepPage(n, (yield* decode(n, current.value)).page)
      pages[n] = { ids: new Set(), unknown: {}, ...pages[n], version: undefined }
      yield* Effect.logError(`the state store has lost page ${n} of this instance; it is written anew`)
    }).pipe(
      Effect.catchAll((error) =>
        Effect.zipRight(Effect.logWarning("a page cannot be read back", error), Effect.sleep(PAGE_RETRY_DELAY))
      )
    )

  const writer: Pages["writer"] = Effect.gen(function* () {
    while (!life.ended()) {
      yield* wake.await
      yield* wake.close
      for (;;) {
        // a moment for company: what comes together goes out in one write
        yield* yieldToEventLoop
        const planned = plan()
        const next = planned === undefined ? expireNext() : step(planned)
        if (next === undefined || life.ended()) break
        writing = true
        yield* Effect.catchAllDefect(next, (defect) =>
          Effect.zipRight(Effect.logError("a page could not be written", defect), Effect.sleep(PAGE_RETRY_DELAY))
        )
        writing = false
      }
    }
  }).pipe(Effect.ensuring(Effect.sync(() => failAdds(adds.keys(), LIFE_ENDED))))

  return {
    adopt,
    writer,
    add: (id) =>
      Effect.suspend(() => {
        if (life.ended()) return LIFE_ENDED
        if (where.has(id) && !leaving.has(id)) {
          drops.delete(id)
          return Effect.void
        }
        let waiting = adds.get(id)
        if (waiting === undefined) adds.set(id, (waiting = Deferred.unsafeMake(FiberId.none)))
        wake.unsafeOpen()
        return Deferred.await(waiting)
      }),
    drop: (id) => {
      drops.add(id)
      wake.unsafeOpen()
    },
    expire: Effect.suspend(() => {
      if (life.ended()) return Effect.void
      expired ??= Deferred.unsafeMake(FiberId.none)
      wake.unsafeOpen()
      return Deferred.await(expired)
    }),
    ids: () => [...where.keys()].filter((id) => !drops.has(id) || keep(id)),
    empty: () =>
      complete && where.size === 0 && adds.size === 0 && !writing && !pages.some((page) => page.unread === true)
  }
}
