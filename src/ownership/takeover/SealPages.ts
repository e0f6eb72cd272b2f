/**
 * Closes the pages of an incarnation that has ended (src/ownership/README.md, Taking over, 2: seal). Each is made `sealed`,
 * and the first missing one is made sealed, with `end`. From there on the victim can add nothing.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { StateStoreUnavailable } from "../../domain/Errors.js"
import { decodePage, encodePage, type Page } from "../../domain/stored/InstanceRecord.js"
import { pageKey } from "../../domain/stored/Keys.js"
import type { Incarnation } from "../../membership/lease/Lease.js"
import { DEPARTED_TTL } from "../../membership/lease/LeaseTimings.js"
import type { StateStore, ValueTooLarge, Version, Versioned } from "../../ports/StateStore.js"
import { put } from "../../state/GuardedWrite.js"

export interface PageOwner {
  readonly id: string
  readonly incarnation: string
}

export interface SealedPage {
  readonly n: number
  readonly version: Version
  readonly page: Page
  /** it cannot be understood, and is left as it is: what it names cannot be taken over */
  readonly unread?: string
}

/** Pages read at once. */
const WINDOW = 16
const SEAL_CONCURRENCY = 8

type Failure = StateStoreUnavailable | ValueTooLarge

/** All pages of the victim, sealed, the last one with `end`; as they are from now on. */
export const sealPages = (
  store: StateStore["Type"],
  life: Incarnation,
  victim: PageOwner
): Effect.Effect<ReadonlyArray<SealedPage>, Failure> =>
  Effect.gen(function* () {
    const sealed: Array<SealedPage> = []
    for (let from = 0; ;) {
      const keys = Array.from({ length: WINDOW }, (_, i) => pageKey(victim.id, from + i))
      const found = yield* store.getMany(keys)
      const there: Array<{ readonly n: number; readonly found: Versioned | undefined }> = []
      for (const [i, key] of keys.entries()) {
        const at = found.get(key)
        there.push({ n: from + i, found: at })
        if (at === undefined) break
        const page = decodePage(victim.id, from + i, at.value)
        if (Either.isRight(page) && page.right.end === true) break
      }
      sealed.push(
        ...(yield* Effect.forEach(there, (one) => sealOne(store, life, victim, one), { concurrency: SEAL_CONCURRENCY }))
      )
      if (sealed.at(-1)?.page.end === true) return sealed
      from = sealed.length
    }
  })

/** Seals one page, again whenever another writer has changed it meanwhile: the victim's last write, or another survivor. */
const sealOne = (
  store: StateStore["Type"],
  life: Incarnation,
  victim: PageOwner,
  first: { readonly n: number; readonly found: Versioned | undefined }
): Effect.Effect<SealedPage, Failure> =>
  Effect.gen(function* () {
    const { n } = first
    let { found } = first
    for (;;) {
      const nothing = { incarnation: victim.incarnation, sealed: false, ids: [], nonce: "", unknown: {} }
      const read = found === undefined ? Either.right({ ...nothing, end: true }) : decodePage(victim.id, n, found.value)
      if (found !== undefined && Either.isLeft(read)) {
        return { n, version: found.version, page: nothing, unread: read.left.reason ?? "" }
      }
      const page: Page = yield* read
      if (found !== undefined && page.sealed) return { n, version: found.version, page }
      const closed = { ...page, sealed: true }
      const written = yield* writePage(store, life, victim, n, found?.version, closed)
      if (written._tag === "Written") return { n, version: written.version, page: closed }
      found = Option.getOrUndefined(written.current)
    }
  })

/** Empties them, the last one first, to vanish; false: another writer changed one meanwhile. */
export const empty = (
  store: StateStore["Type"],
  life: Incarnation,
  victim: PageOwner,
  pages: ReadonlyArray<SealedPage>
): Effect.Effect<boolean, Failure> =>
  Effect.gen(function* () {
    for (const { n, page, version } of pages.toReversed()) {
      const nothing: Page = { ...page, incarnation: victim.incarnation, sealed: true, end: true, ids: [] }
      const written = yield* writePage(store, life, victim, n, version, nothing, true)
      if (written._tag === "Lost") return false
    }
    return true
  })

const writePage = (
  store: StateStore["Type"],
  life: Incarnation,
  victim: PageOwner,
  n: number,
  expected: Version | undefined,
  page: Page,
  vanishes = false
) =>
  put(store, {
    key: pageKey(victim.id, n),
    expected,
    value: (nonce) => encodePage({ ...page, nonce }),
    mayWrite: life.valid,
    abandoned: life.ended,
    patient: false,
    ...(vanishes && { ttl: DEPARTED_TTL })
  })
