/**
 * What Dapr's state stores have in common, and what each does in its own way, as measured on a live sidecar. That is how a
 * key is created, whether its etags are counters, and which answers mean that another writer was first. It also says which
 * stores cannot guarantee S02 and S03 at all.
 */
import * as Duration from "effect/Duration"
import type { Component } from "../sidecar/Metadata.js"

/** An answer of the sidecar that is not success, as far as a dialect looks at it. */
export interface Refusal {
  /** gRPC status code */
  readonly code: number
  readonly message: string
}

export interface StoreDialect {
  /** The etag that a create carries; undefined: none, `first-write` alone means "only if absent". */
  readonly createEtag: string | undefined
  /**
   * Etags are counters that begin at 1 for every new key. So an etag repeats when its key vanishes and is made anew. A
   * replace of a key that has vanished makes it anew instead of failing: its etag is then not the old one + 1.
   */
  readonly counts: boolean
  /** How long an etag may be believed without looking, milliseconds. */
  readonly believedFor: number
  /**
   * Calls that begin at once are made as one request, which saves a few hundred microseconds of processor time for each.
   * Only where the component calls every failed write a lost race. After any other failure, a sidecar to which operators
   * gave a retry policy repeats a part of the request. When that part fails in part too, the sidecar picks from the wrong
   * list, which ends the sidecar (runtime 1.18.2, `PerformBulkStoreOperation`).
   */
  readonly together: boolean
  /** Whether this answer to a write proves that another was first. Any other failure leaves the outcome unknown. */
  readonly lost: (refusal: Refusal) => boolean
  /** `ttlInSeconds` as this store wants it; it is sent with every write, since some keep the old one otherwise. */
  readonly ttl: (ttl: Duration.Duration | undefined) => string
}

const ABORTED = 10
const INTERNAL = 13

/** whole seconds, never earlier than asked, one at least */
const seconds = (ttl: Duration.Duration | undefined): string =>
  ttl === undefined ? "-1" : String(Math.max(1, Math.ceil(Duration.toSeconds(ttl))))

/** Etags are used once in their life, so a stale one fails by itself. */
const byUniqueEtag: StoreDialect = {
  createEtag: undefined,
  counts: false,
  believedFor: 60_000,
  together: false,
  lost: ({ code }) => code === ABORTED,
  ttl: seconds
}

const sqlite: StoreDialect = {
  ...byUniqueEtag,
  // it compares whole seconds, and so takes up to one away
  ttl: (ttl) => (ttl === undefined ? "-1" : String(Math.ceil(Duration.toSeconds(ttl)) + 1))
}

const postgresql: StoreDialect = {
  ...byUniqueEtag,
  // the loser of a create is told so by a server error
  lost: ({ code, message }) => code === ABORTED || (code === INTERNAL && message.includes("no item was updated"))
}

/** Whether its etags come back is not known, so each write looks first. */
const unknown = (dialect: StoreDialect): StoreDialect => ({ ...dialect, believedFor: 0 })

const redis: StoreDialect = {
  // No counter ever gets this far. Without an etag, a create would overwrite a key that was written otherwise.
  createEtag: "2147483647",
  counts: true,
  // A key that was written for ever vanishes only after another has replaced it, for one second at least.
  believedFor: 900,
  // a write looks before, most often, and afterwards
  together: true,
  // The component calls every error a lost race once an etag was sent; only its script's own words are one.
  lost: ({ code, message }) => code === ABORTED && message.includes("failed to set key"),
  ttl: seconds
}

export type Judgement =
  | { readonly _tag: "Tested"; readonly dialect: StoreDialect }
  /** It may work; that is not tested. `hint` is empty, or says what to do instead. */
  | { readonly _tag: "Untested"; readonly dialect: StoreDialect; readonly hint: string }
  /** It cannot guarantee what is asked; `reason` says why. */
  | { readonly _tag: "Refused"; readonly reason: string }

/** The stores that pass the whole conformance suite, by type and version. */
const TESTED: Readonly<Record<string, StoreDialect>> = {
  "state.in-memory/v1": byUniqueEtag,
  "state.sqlite/v1": sqlite,
  "state.sqlite3/v1": sqlite,
  "state.postgresql/v2": postgresql,
  "state.postgres/v2": postgresql,
  "state.redis/v1": redis
}

/** For operators: what to take instead. */
export const TESTED_STORES = "state.redis, state.postgresql (version v2), state.sqlite and state.in-memory"

/** Types, without the version, of which it is known that they break a guarantee. */
const UNSAFE: Readonly<Record<string, string>> = {
  "state.etcd": "it reports a lost race as success, so two instances could own one connection",
  "state.mongodb": "a write at a stale version makes a removed key anew, so a dead owner could come back",
  "state.memcached": "it has no versions to compare, so two instances could own one connection"
}

const POSTGRESQL_V1 = { dialect: unknown(postgresql), hint: "set `version: v2` in the component, which is tested" }

const UNTESTED: Readonly<Record<string, { readonly dialect: StoreDialect; readonly hint: string }>> = {
  "state.postgresql/v1": POSTGRESQL_V1,
  "state.postgres/v1": POSTGRESQL_V1
}

/** What is known of a state store component. */
export const judge = ({ capabilities, type: spelled, version }: Component): Judgement => {
  const type = spelled.toLowerCase()
  const unsafe = UNSAFE[type]
  if (unsafe !== undefined) return { _tag: "Refused", reason: unsafe }
  const has = (capability: string) => capabilities.some((name) => name.toUpperCase() === capability)
  if (!has("ETAG")) {
    return { _tag: "Refused", reason: "it has no versions to compare, so two instances could own one connection" }
  }
  if (!has("TTL"))
    return { _tag: "Refused", reason: "its keys cannot expire, so removed connections would stay for ever" }
  // an absent version is v1
  const kind = `${type}/${version === "" ? "v1" : version.toLowerCase()}`
  const tested = TESTED[kind]
  if (tested !== undefined) return { _tag: "Tested", dialect: tested }
  return { _tag: "Untested", ...(UNTESTED[kind] ?? { dialect: unknown(byUniqueEtag), hint: "" }) }
}
