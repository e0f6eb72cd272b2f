import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import Libsql from "libsql"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as FileState from "../../src/adapters/embedded/FileState.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { stateStoreConformance } from "../conformance/StateStoreConformance.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

const handle = (dataDir: string) =>
  Effect.map(Layer.build(FileState.layer(dataDir)), (context) => Context.get(context, StateStore))

/** Another process in the middle of a write, as the file sees it. */
const lockedByAnother = (dataDir: string) =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        const database = new Libsql(join(dataDir, "state.db"))
        database.exec("begin immediate")
        return database
      }),
      (database) =>
        Effect.sync(() => {
          database.exec("rollback")
          database.close()
        })
    )
  )

stateStoreConformance(
  "file",
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    return {
      a: yield* handle(dataDir),
      b: yield* handle(dataDir),
      shortestTtl: Duration.millis(1),
      elapse: TestClock.adjust,
      maxValueBytes: 1024 * 1024,
      deadline: Duration.seconds(3),
      stall: lockedByAnother(dataDir)
    }
  })
)

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

it.scoped("the directory and everything in it are for their owner alone", () =>
  Effect.gen(function* () {
    const dataDir = join(yield* temporaryDirectory, "deep/er")
    const store = yield* handle(dataDir)
    yield* store.create("k", "v")
    expect(mode(dataDir)).toBe("700")
    const names = readdirSync(dataDir)
    expect(names).toEqual(["state.db", "state.db-shm", "state.db-wal"])
    expect(names.map((name) => mode(join(dataDir, name)))).toEqual(["600", "600", "600"])
  })
)

it.scoped("what was written is there after the store was closed and opened again", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const write = Effect.flatMap(handle(dataDir), (store) => store.create("k", "v"))
    const version = yield* Effect.scoped(write)
    expect(yield* (yield* handle(dataDir)).get("k")).toMatchObject(Option.some({ value: "v", version }))
  })
)

it.scoped("a file of another layout is left alone, and the refusal says so", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const database = new Libsql(join(dataDir, "state.db"))
    database.exec("pragma user_version = 7; create table other (x)")
    const refusal = yield* Effect.flip(handle(dataDir))
    expect(refusal).toMatchObject({ _tag: "StateStoreUnavailable" })
    expect(refusal.reason).toMatch(/state\.db cannot be opened: its layout is 7, this version knows 1/)
    expect(database.prepare("select name from sqlite_master").all()).toMatchObject([{ name: "other" }])
    database.close()
  })
)

it.scoped("a file that is no database, and a path that is no directory, are refused by name", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    writeFileSync(join(dataDir, "state.db"), "not a database, and long enough to be read as one ".repeat(100))
    expect((yield* Effect.flip(handle(dataDir))).reason).toMatch(/state\.db cannot be opened: SQLITE_NOTADB/)
    expect((yield* Effect.flip(handle(join(dataDir, "state.db")))).reason).toMatch(/cannot be opened: (EEXIST|ENOTDIR)/)
  })
)

it.scoped("a folder that cannot be made is refused at once", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(handle("/proc/nope/deeper"))
    expect(error.reason).toContain("/proc/nope/deeper/state.db cannot be opened")
  })
)

it.scoped("twenty handles opened at once on a new file all get it", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const stores = yield* Effect.all(Array(20).fill(handle(dataDir)) as Array<ReturnType<typeof handle>>, {
      concurrency: "unbounded"
    })
    yield* stores[0]!.create("k", "v")
    expect(Option.isSome(yield* stores[19]!.get("k"))).toBe(true)
  })
)

it.scoped("a closed store is unavailable, not a crash", () =>
  Effect.gen(function* () {
    const store = yield* Effect.scoped(handle(yield* temporaryDirectory))
    for (const call of [store.get("k"), store.create("k", "v"), store.ping] as ReadonlyArray<
      Effect.Effect<unknown, unknown>
    >) {
      expect(yield* Effect.flip(call)).toMatchObject({ _tag: "StateStoreUnavailable" })
    }
  })
)

it.scoped("while another process holds the lock, a hundred waiting writers do not hold up the event loop", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const store = yield* handle(dataDir)
    yield* lockedByAnother(dataDir)
    let last = performance.now()
    let longest = 0
    const tick = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 1)
    const writes = Array.from({ length: 100 }, (_, i) => Effect.either(store.create(`k${i}`, "v")))
    const results = yield* Effect.all(writes, { concurrency: "unbounded" })
    clearInterval(tick)
    expect(results.every((result) => result._tag === "Left")).toBe(true)
    expect(longest).toBeLessThan(500)
  })
)

it.scoped("expired rows that nobody reads again are swept", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const store = yield* handle(dataDir)
    for (let i = 0; i < 200; i++) yield* store.create(`old${i}`, "v", { ttl: Duration.hours(1) })
    yield* TestClock.adjust(Duration.hours(1))
    for (let i = 0; i < 300; i++) yield* store.create(`new${i}`, "v")
    const database = new Libsql(join(dataDir, "state.db"))
    expect(database.prepare("select count(*) as n from kv").get()).toMatchObject({ n: 300 })
    database.close()
  })
)

/** A database whose next write, done or not, ends in an input/output error; reading back may fail too. */
const failing = (path: string, fault: { lands: boolean; readable: boolean }) => {
  const database = new Libsql(path)
  const failure = Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_WRITE" })
  let armed = false
  const prepare = (sql: string) => {
    const statement = database.prepare(sql)
    return {
      all: statement.all.bind(statement),
      get: (...args: Array<unknown>) => {
        if (armed && !fault.readable) throw failure
        return statement.get(...args)
      },
      run: (...args: Array<unknown>) => {
        if (!armed || fault.lands) statement.run(...args)
        if (armed) throw failure
        return { changes: 1 }
      }
    }
  }
  const broken = { prepare } as never as ReturnType<Parameters<typeof FileState.make>[0]["current"]>
  return {
    database: { open: true, current: () => broken },
    arm: () => (armed = true)
  }
}

for (const [fault, expected] of [
  [{ lands: true, readable: true }, "succeeds"],
  [
    { lands: false, readable: true },
    { _tag: "StateStoreUnavailable", outcome: undefined }
  ],
  [
    { lands: true, readable: false },
    { _tag: "StateStoreUnavailable", outcome: "unknown" }
  ],
  [
    { lands: false, readable: false },
    { _tag: "StateStoreUnavailable", outcome: "unknown" }
  ]
] as const) {
  const title = `${fault.lands ? "landed" : "did not land"} and ${fault.readable ? "can" : "cannot"} be read back`
  it.scoped(`S07 a write that met an input/output error, ${title}, is told as it is`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const honest = yield* handle(dataDir)
      const version = yield* honest.create("replaced", "before")
      const other = yield* honest.create("removed", "before")
      const { arm, database } = failing(join(dataDir, "state.db"), fault)
      const store = FileState.make(database)
      arm()
      const calls: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
        store.create("created", "v"),
        store.replace("replaced", "after", version),
        store.remove("removed", other)
      ]
      for (const call of calls) {
        const result = yield* Effect.either(call)
        if (expected === "succeeds") expect(result._tag).toBe("Right")
        else expect(yield* Effect.flip(result)).toMatchObject({ _tag: expected._tag })
        if (expected !== "succeeds" && result._tag === "Left") {
          expect((result.left as { outcome?: string }).outcome).toBe(expected.outcome)
        }
      }
    })
  )
}

it.scoped("after a clean close the file alone is the whole store", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.scoped(
      Effect.flatMap(handle(dataDir), (store) =>
        Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          (i) => store.create(`k${i}`, "v".repeat(1000))
        )
      )
    )
    const copied = yield* temporaryDirectory
    copyFileSync(join(dataDir, "state.db"), join(copied, "state.db"))
    const copy = yield* handle(copied)
    expect((yield* copy.getMany(Array.from({ length: 200 }, (_, i) => `k${i}`))).size).toBe(200)
  })
)

it.scoped("what was removed or replaced is not in the files any more", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.scoped(
      Effect.gen(function* () {
        const store = yield* handle(dataDir)
        for (let i = 0; i < 20; i++) {
          const removed = yield* store.create(`removed${i}`, `gone-for-good ${"x".repeat(300 * i)}`)
          const replaced = yield* store.create(`replaced${i}`, `gone-for-good ${"x".repeat(300 * i)}`)
          yield* store.remove(`removed${i}`, removed)
          yield* store.replace(`replaced${i}`, "v", replaced)
        }
      })
    )
    for (const name of readdirSync(dataDir)) {
      expect(readFileSync(join(dataDir, name)).includes("gone-for-good"), name).toBe(false)
    }
  })
)

it.scoped("what others of the host could read is for its owner alone from the next start on", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.scoped(Effect.flatMap(handle(dataDir), (store) => store.create("k", "v")))
    chmodSync(dataDir, 0o777)
    for (const name of readdirSync(dataDir)) chmodSync(join(dataDir, name), 0o666)
    const store = yield* handle(dataDir)
    yield* store.create("l", "v")
    expect(mode(dataDir)).toBe("755")
    expect(new Set(readdirSync(dataDir).map((name) => mode(join(dataDir, name))))).toEqual(new Set(["600"]))
  })
)

for (const [name, make] of [
  ["state.db", (path: string, elsewhere: string) => symlinkSync(elsewhere, path)],
  ["state.db-wal", (path: string, elsewhere: string) => symlinkSync(elsewhere, path)],
  ["state.db", (path: string) => symlinkSync(join(path, "../not-there-yet"), path)],
  ["state.db-shm", (path: string) => mkdirSync(path)]
] as const) {
  it.scoped(`a ${name} that leads elsewhere, or is no file, is refused by name and left alone (${make})`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const elsewhere = join(yield* temporaryDirectory, "victim")
      writeFileSync(elsewhere, "not ours")
      make(join(dataDir, name), elsewhere)
      const refusal = yield* Effect.flip(handle(dataDir))
      expect(refusal.reason).toMatch(/symbolic link|no file|ELOOP/)
      expect(refusal.reason).toContain(name)
      expect(readFileSync(elsewhere, "utf8")).toBe("not ours")
      expect(existsSync(join(dataDir, "not-there-yet"))).toBe(false)
    })
  )
}

it.scoped("a file of another user is refused, and the refusal says whose it is", () =>
  Effect.gen(function* () {
    if (process.getuid?.() !== 0) return
    const dataDir = yield* temporaryDirectory
    writeFileSync(join(dataDir, "state.db"), "")
    chownSync(join(dataDir, "state.db"), 12_345, 12_345)
    expect((yield* Effect.flip(handle(dataDir))).reason).toMatch(/belongs to user 12345.*chown/)
  })
)

for (const [how, take] of [
  ["all files are removed", (dataDir: string) => rmSync(dataDir, { recursive: true })],
  ["the file alone is removed", (dataDir: string) => rmSync(join(dataDir, "state.db"))],
  ["the file is moved away", (dataDir: string) => renameSync(join(dataDir, "state.db"), join(dataDir, "old.db"))],
  [
    "another file takes its name",
    (dataDir: string) => {
      copyFileSync(join(dataDir, "state.db"), join(dataDir, "new.db"))
      renameSync(join(dataDir, "new.db"), join(dataDir, "state.db"))
    }
  ]
] as const) {
  it.scopedLive(`when ${how} under an open handle, it says so, and goes on with whatever the name leads to`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const store = yield* handle(dataDir)
      yield* store.create("before", "v")
      take(dataDir)
      const noticed = yield* store
        .get("before")
        .pipe(Effect.flip, Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 100 }))
      expect(noticed.reason).toContain("was removed or replaced while it was in use")
      yield* store.create("after", "v")
      const other = yield* handle(dataDir)
      expect(yield* other.get("after")).toMatchObject(Option.some({ value: "v" }))
      const written = yield* other.create("by another", "v")
      expect(yield* store.get("by another")).toMatchObject(Option.some({ version: written }))
    })
  )
}

it.scoped("a backup is the store of that moment, in one new file for its owner alone, while the store is in use", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const store = yield* handle(dataDir)
    const version = yield* store.create("k", "v")
    const copied = yield* temporaryDirectory
    const file = join(copied, "state.db")
    expect(yield* FileState.backup(dataDir, file)).toBe(statSync(file).size)
    yield* store.create("later", "v")
    expect(mode(file)).toBe("600")
    const copy = yield* handle(copied)
    expect(yield* copy.get("k")).toMatchObject(Option.some({ value: "v", version }))
    expect(yield* copy.get("later")).toEqual(Option.none())
  })
)

it.scoped("a backup never writes over a file, and leaves none behind when there is nothing to copy", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* handle(dataDir)
    const folder = yield* temporaryDirectory
    writeFileSync(join(folder, "there"), "mine")
    expect((yield* Effect.flip(FileState.backup(dataDir, join(folder, "there")))).reason).toContain("EEXIST")
    expect(readFileSync(join(folder, "there"), "utf8")).toBe("mine")
    expect((yield* Effect.flip(FileState.backup(join(folder, "none"), join(folder, "new")))).reason).toContain(
      "there is no"
    )
    expect(readdirSync(folder)).toEqual(["there"])
  })
)
