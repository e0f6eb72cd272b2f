/** The database itself: opened for several processes, its layout known by number, opened anew when its file was taken away. */
import { rmSync } from "node:fs"
import { join, resolve } from "node:path"
import type Libsql from "libsql"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StateStoreUnavailable } from "../../../domain/Errors.js"
import * as Files from "./PrivateFiles.js"
import { asUnavailable, BUSY_TIMEOUT_MS, makePatient } from "./RetryOnBusy.js"

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

/** How often, at most, a look is taken whether the file is still the one that was opened. */
const LOOK_AGAIN_MS = 250

/** Loaded late, because a command that serves nothing need not wait for a native library. */
const library = Effect.promise(async () => (await import("libsql")).default)

/** `<dataDir>/state.db`, whichever file that is by now. */
export class Handle {
  private lookAt = 0

  constructor(
    private readonly path: string,
    private readonly make: typeof Libsql,
    private database: Database,
    private identity: Files.Identity | undefined
  ) {}

  get open(): boolean {
    return this.database.open
  }

  /**
   * The open database. A file that was removed or replaced would take the writes of this process and show them to no other.
   * The call that finds this fails once, and from then on the file that the name leads to counts. An empty one is a store
   * that lost everything.
   */
  current(): Database {
    const now = performance.now()
    if (now < this.lookAt) return this.database
    if (Files.identityOf(this.path) !== this.identity) this.reopen()
    else {
      this.lookAt = now + LOOK_AGAIN_MS
      return this.database
    }
    throw new StateStoreUnavailable({ reason: `${this.path} was removed or replaced while it was in use` })
  }

  close(): void {
    if (!this.database.open) return
    try {
      // A copy of the file lacks what is in the log beside it. So the log is emptied here, and a backup of `state.db` alone
      // is whole.
      this.database.pragma("wal_checkpoint(TRUNCATE)")
    } catch {
      // Another process has it open; the last one to close can do this.
    }
    this.database.close()
  }

  private reopen(): void {
    Files.secure(this.path)
    const identity = Files.identityOf(this.path)
    const database = new this.make(this.path)
    try {
      prepare(database)
    } catch (error) {
      database.close()
      throw error
    }
    this.database.close()
    this.database = database
    this.identity = identity
  }
}

/** Opens `<dataDir>/state.db`, making both where they are missing; closed with the scope. */
export const open = (dataDir: string): Effect.Effect<Handle, StateStoreUnavailable, Scope.Scope> => {
  const path = join(resolve(dataDir), "state.db")
  return Effect.gen(function* () {
    const Database = yield* library
    const warnings = yield* Effect.try({ try: () => Files.secure(path), catch: asUnavailable })
    for (const warning of warnings) yield* Effect.logWarning(warning)
    const handle = yield* Effect.acquireRelease(
      Effect.try({
        try: () => new Handle(path, Database, new Database(path), Files.identityOf(path)),
        catch: asUnavailable
      }),
      (handle) => Effect.sync(() => handle.close())
    )
    yield* makePatient(handle)(() => prepare(handle.current()))
    return handle
  }).pipe(
    Effect.mapError(
      (error) =>
        new StateStoreUnavailable({ reason: `${join(dataDir, "state.db")} cannot be opened: ${error.reason ?? ""}` })
    )
  )
}

/**
 * A copy of the store as it is at this moment, into a new file for its owner alone; users of the store go on. Answers with
 * the size of the copy in bytes.
 */
export const backup = (dataDir: string, file: string): Effect.Effect<number, StateStoreUnavailable> => {
  const path = join(resolve(dataDir), "state.db")
  return Effect.flatMap(library, (Database) =>
    Effect.try({
      try: () => {
        const identity = Files.identityOf(path)
        if (identity === undefined) throw new StateStoreUnavailable({ reason: `there is no ${path}` })
        Files.createPrivate(file)
        const database = new Database(path)
        try {
          database.pragma(`busy_timeout = ${BACKUP_TIMEOUT_MS}`)
          database.prepare("vacuum into ?").run(file)
        } catch (error) {
          rmSync(file, { force: true })
          throw error
        } finally {
          database.close()
        }
        return Files.sizeOf(file)
      },
      catch: asUnavailable
    })
  )
}

/** A writer holds the file for milliseconds. */
const BACKUP_TIMEOUT_MS = 5000

const prepare = (database: Database): void => {
  database.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`)
  database.pragma("journal_mode = WAL")
  // Writes outlive a killed process. After a power cut the last ones may be missing; by then the leases are over anyway.
  database.pragma("synchronous = NORMAL")
  // Otherwise SQLite leaves what was removed in the file. It also writes a new page with whatever that piece of this
  // process's memory held before. That may be an opening request, with its secrets.
  database.pragma("secure_delete = ON")
  const [row] = database.pragma("user_version") as [{ readonly user_version: number }]
  if (row.user_version === LAYOUT) return
  if (row.user_version !== 0) {
    throw new StateStoreUnavailable({ reason: `its layout is ${row.user_version}, this version knows ${LAYOUT}` })
  }
  database.exec(SCHEMA)
}
