/** The file store under several real processes: none loses an update, and a killed one leaves a readable file. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { beforeAll, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as FileState from "../../src/adapters/embedded/FileState.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { builtDist } from "../support/built.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

let dist = ""
beforeAll(async () => {
  dist = await builtDist()
}, 60_000)

/** Starts a worker; killed with the scope if it still runs. */
const worker = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = join(import.meta.dirname, "../support/fileStateWorker.mjs")
      const child = spawn(process.execPath, [script, dist, ...args], { stdio: ["ignore", "pipe", "inherit"] })
      let output = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk))
      const ended = once(child, "close") as Promise<[code: number | null, signal: string | null]>
      return { child, ended, output: () => output }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const handle = (dataDir: string) =>
  Effect.map(Layer.build(FileState.layer(dataDir)), (context) => Context.get(context, StateStore))

it.scopedLive("of three processes that increment one key none loses an update", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const store = yield* handle(dataDir)
    const workers = yield* Effect.all([1, 2, 3].map(() => worker(dataDir, "increment", "k", "150")))
    for (const { output } of workers) while (output() !== "ready\n") yield* Effect.sleep(1)
    yield* store.create("k", "0")
    let lost = 0
    for (const { ended, output } of workers) {
      expect(yield* Effect.promise(() => ended)).toEqual([0, null])
      lost += Number(/^lost (\d+)$/m.exec(output())?.[1])
    }
    // Races were run, and their losers knew it.
    expect(lost).toBeGreaterThan(0)
    expect(Option.getOrThrow(yield* store.get("k")).value).toBe("450")
  })
)

it.scopedLive("a process killed while it writes leaves its last acknowledged value, or the one after, whole", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const store = yield* handle(dataDir)
    for (let round = 0; round < 4; round++) {
      const key = `k${round}`
      const { child, ended, output } = yield* worker(dataDir, "churn", key)
      // It is killed wherever the fortieth acknowledgement, or a few more, meet it.
      while (output().split("\n").length < 41 + round * 7) yield* Effect.sleep(1)
      child.kill("SIGKILL")
      expect(yield* Effect.promise(() => ended)).toEqual([null, "SIGKILL"])
      const acknowledged = Number(output().slice(0, output().lastIndexOf("\n")).split("\n").at(-1))
      const { value, version } = Option.getOrThrow(yield* store.get(key))
      const { n, text } = JSON.parse(value) as { n: number; text: string }
      expect([acknowledged, acknowledged + 1]).toContain(n)
      expect(text).toBe(String(n % 10).repeat(1 + ((n * 7919) % 60_000)))
      yield* store.replace(key, "taken over", version)
      expect(Option.getOrThrow(yield* (yield* handle(dataDir)).get(key)).value).toBe("taken over")
    }
  })
)
