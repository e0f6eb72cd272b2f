/**
 * A state store in one file (`libsql`), which several processes of a host may share.
 *
 * Statements are synchronous and short. A write is one statement, atomic by itself; its version is random, so a version
 * fits one write only, and reading it back tells whether that very write landed.
 */
import { randomUUID } from "node:crypto"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import {
  StateStore,
  tooLarge,
  type Version,
  type Versioned,
  VersionMismatch,
  type WriteOptions
} from "../../ports/StateStore.js"
import * as Database from "./internal/Database.js"
import { asUnavailable, isBusy, makePatient } from "./internal/RetryOnBusy.js"

/** Keys in one statement of getMany: bounds the time the event loop is held. */
const KEYS_AT_ONCE = 100
/** A sweep of at most so many expired rows comes after each so many writes. */
const SWEEP_EVERY = 256

// Text comes back cut at its first NUL, a blob does not.
const VALUE = "cast(v as blob) as value, version"
const ALIVE = "(expires_at is null or expires_at > ?)"

type Written = ReturnType<StateStore["Type"]["create"]>

interface Row {
  readonly value: Buffer | ArrayBuffer
  readonly version: string
}

const versioned = (row: Row): Versioned => ({
  value: (Buffer.isBuffer(row.value) ? row.value : Buffer.from(row.value)).toString(),
  version: row.version as Version
})

const statementsOf = (database: Database.Database) => ({
  database,
  select: database.prepare(`select ${VALUE} from kv where k = ? and ${ALIVE}`),
  selectMany: database.prepare(
    `select wanted.key as i, ${VALUE} from json_each(?) wanted join kv on k = wanted.value where ${ALIVE}`
  ),
  selectVersion: database.prepare("select version from kv where k = ?"),
  insert: database.prepare(
    "insert into kv (k, v, version, expires_at) values (?, ?, ?, ?) on conflict (k) do update" +
      " set v = excluded.v, version = excluded.version, expires_at = excluded.expires_at where kv.expires_at <= ?"
  ),
  update: database.prepare(`update kv set v = ?, version = ?, expires_at = ? where k = ? and version = ? and ${ALIVE}`),
  remove: database.prepare(`delete from kv where k = ? and version = ? and ${ALIVE}`),
  sweep: database.prepare(`delete from kv where k in (select k from kv where expires_at <= ? limit ${SWEEP_EVERY})`)
})

type Statements = ReturnType<typeof statementsOf>

/** A store over an open handle. */
export const make = (handle: Pick<Database.Handle, "open" | "current">): StateStore["Type"] => {
  let made = statementsOf(handle.current())
  /** Of the database that is open now. */
  const statements = () => {
    const database = handle.current()
    if (made.database !== database) made = statementsOf(database)
    return made
  }

  const reading = makePatient(handle)
  const writing = makePatient(handle)
  let writes = 0

  /** Whether the statement changed its row. An error that may have come after the change is settled by `landed`. */
  const run = (now: number, statement: () => { readonly changes: number }, landed: () => boolean): boolean => {
    let changed: boolean
    try {
      changed = statement().changes === 1
    } catch (error) {
      if (isBusy(error) || !settled(landed)) throw error
      return true
    }
    if ((writes += 1) % SWEEP_EVERY === 0) {
      try {
        made.sweep.run(now)
      } catch {
        // Expired rows are absent anyway; the next sweep takes them.
      }
    }
    return changed
  }

  const versionOf = (key: string): string | undefined =>
    (made.selectVersion.get(key) as { readonly version: string } | undefined)?.version

  const write = (
    key: string,
    value: string,
    options: WriteOptions | undefined,
    statement: (on: Statements, version: Version, expiresAt: number | null, now: number) => { readonly changes: number }
  ) =>
    Effect.clockWith((clock) =>
      Effect.suspend((): Written => {
        const refusal = tooLarge(key, value)
        if (refusal !== undefined) return Effect.fail(refusal)
        const version = randomUUID() as string as Version
        const attempt = writing(() => {
          const on = statements()
          const now = clock.unsafeCurrentTimeMillis()
          const expiresAt = options?.ttl === undefined ? null : now + Duration.toMillis(options.ttl)
          return run(
            now,
            () => statement(on, version, expiresAt, now),
            () => versionOf(key) === version
          )
        })
        return Effect.flatMap(attempt, (changed) =>
          changed ? Effect.succeed(version) : Effect.fail(new VersionMismatch({ key }))
        )
      })
    )

  const readChunk = (keys: ReadonlyArray<string>, found: Map<string, Versioned>) =>
    Effect.clockWith((clock) =>
      reading(() => {
        const rows = statements().selectMany.all(JSON.stringify(keys), clock.unsafeCurrentTimeMillis())
        for (const row of rows as Array<Row & { readonly i: number }>) found.set(keys[row.i]!, versioned(row))
      })
    )

  return {
    get: (key) =>
      Effect.clockWith((clock) =>
        reading(() =>
          Option.map(
            Option.fromNullable(statements().select.get(key, clock.unsafeCurrentTimeMillis()) as Row | undefined),
            versioned
          )
        )
      ),
    getMany: (keys) =>
      Effect.suspend(() => {
        const found = new Map<string, Versioned>()
        const chunks: Array<ReadonlyArray<string>> = []
        for (let i = 0; i < keys.length; i += KEYS_AT_ONCE) chunks.push(keys.slice(i, i + KEYS_AT_ONCE))
        return Effect.forEach(chunks, (chunk) => Effect.zipLeft(readChunk(chunk, found), Effect.yieldNow()), {
          discard: true
        }).pipe(Effect.as(found))
      }),
    create: (key, value, options) =>
      write(key, value, options, (on, version, expiresAt, now) => on.insert.run(key, value, version, expiresAt, now)),
    replace: (key, value, expected, options) =>
      write(key, value, options, (on, version, expiresAt, now) =>
        on.update.run(value, version, expiresAt, key, expected, now)
      ),
    remove: (key, expected) =>
      Effect.clockWith((clock) =>
        writing(() => {
          const on = statements()
          const now = clock.unsafeCurrentTimeMillis()
          return run(
            now,
            () => on.remove.run(key, expected, now),
            () => versionOf(key) === undefined
          )
        })
      ).pipe(Effect.flatMap((removed) => (removed ? Effect.void : Effect.fail(new VersionMismatch({ key }))))),
    ping: Effect.asVoid(reading(() => statements().select.get("", 0)))
  }
}

/** S07: says whether the write landed; where that cannot be read back, fails with an unknown outcome. */
const settled = (landed: () => boolean): boolean => {
  try {
    return landed()
  } catch {
    throw new StateStoreUnavailable({ outcome: "unknown", reason: "the file cannot be read back" })
  }
}

/** A handle on `<dataDir>/state.db`. */
export const layer = (dataDir: string): Layer.Layer<StateStore, StateStoreUnavailable> =>
  Layer.scoped(
    StateStore,
    Effect.flatMap(Database.open(dataDir), (handle) => Effect.try({ try: () => make(handle), catch: asUnavailable }))
  )

/** Copies `<dataDir>/state.db` as it is at this moment into a new file; answers with its size in bytes. Others go on meanwhile. */
export const backup = Database.backup
