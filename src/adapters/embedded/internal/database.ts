/** The file itself: opened for several processes, readable by its owner alone, its layout known by number. */
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import type Libsql from "libsql"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StateStoreUnavailable } from "../../../domain/Errors.js"
import { BUSY_TIMEOUT_MS, asUnavailable, makePatient } from "./patience.js"

export type Database = Libsql.Database

/** Of the table below; a file with another number was written by another version, and is left alone. */
const LAYOUT = 1

const SCHEMA = `
  create table if not exists kv (
    k text primary key, v text not null, version text not null, expires_at integer
  ) without rowid;
  create index if not exists kv_expiry on kv (expires_at) where expires_at is not null;
  pragma user_version = ${LAYOUT};
`

/** Opens `<dataDir>/state.db`, making both where they are missing; closed with the scope. */
export const open = (dataDir: string): Effect.Effect<Database, StateStoreUnavailable, Scope.Scope> => {
  const path = join(dataDir, "state.db")
  return Effect.gen(function* () {
    // Loaded here, because a command that serves nothing need not wait for a native library.
    const { default: Database } = yield* Effect.promise(() => import("libsql"))
    const database = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          makeFolder(resolve(dataDir))
          // Specs may hold credentials as literal values; the files beside it take over this mode.
          closeSync(openSync(path, "a", 0o600))
          return new Database(path)
        },
        catch: asUnavailable
      }),
      (database) => Effect.sync(() => database.close())
    )
    yield* makePatient(database)(() => prepare(database))
    return database
  }).pipe(
    Effect.mapError((error) => new StateStoreUnavailable({ reason: `${path} cannot be opened: ${error.reason ?? ""}` }))
  )
}

/** Step by step: Node's own recursive mkdir never returns where the file system says ENOENT to a new folder (/proc). */
const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if (!existsSync(folder)) throw error
  }
}

const prepare = (database: Database): void => {
  database.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
  database.pragma("journal_mode = WAL")
  // Outlives a killed process; after a power cut the last writes may be missing, and the leases are over anyway.
  database.pragma("synchronous = NORMAL")
  const [row] = database.pragma("user_version") as [{ readonly user_version: number }]
  if (row.user_version === LAYOUT) return
  if (row.user_version !== 0) {
    throw new StateStoreUnavailable({ reason: `its layout is ${row.user_version}, this version knows ${LAYOUT}` })
  }
  database.exec(SCHEMA)
}
