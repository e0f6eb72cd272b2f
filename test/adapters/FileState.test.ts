import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Libsql from "libsql"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as FileState from "../../src/adapters/embedded/FileState.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { stateStoreConformance } from "../conformance/StateStoreConformance.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "wsm-state-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

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
    const dataDir = yield* directory
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
