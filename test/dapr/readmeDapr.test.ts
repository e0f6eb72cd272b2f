/** The README's way from nothing to a feed in a Redis stream, taken as it stands; only ports and the place of the programs are filled in. */
import { execFile, spawn } from "node:child_process"
import { rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { start } from "../cli/runWsm.js"
import { freePort } from "../support/Ports.js"
import { blocks, WITH_DAPR } from "../support/Readme.js"
import { startRedis } from "../support/Redis.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { builtDist } from "../support/built.js"
import { deployed } from "./deployedFolder.js"

const of = (language: string): ReadonlyArray<string> =>
  blocks()
    .filter((block) => block.language === language && block.section === WITH_DAPR)
    .map(({ text }) => text)
const lines = of("sh").flatMap((text) => text.trim().split("\n"))

/** The one line that begins so, and what it says further, in words. */
const words = (beginning: string): ReadonlyArray<string> => {
  const found = lines.filter((line) => line.startsWith(beginning))
  expect(found, beginning).toHaveLength(1)
  return found[0]!.slice(beginning.length).trim().split(" ")
}

/** A program in this test's scope. */
const started = (argv: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(() => start(argv, env)),
    ({ child, ended }) =>
      Effect.promise(async () => {
        child.kill("SIGKILL")
        await ended
      })
  )

/** The README's subscriber, behind a sidecar of its own; `place` is where it finds the package. */
const subscriber = (folder: string, place: string) =>
  Effect.gen(function* () {
    const [appPort, ...rest] = words("dapr run --app-id reader --app-port")
    expect([appPort, ...rest]).toEqual([
      "6001",
      "--resources-path",
      "./dapr-components/redis",
      "--",
      "node",
      "reader.mjs"
    ])
    const port = yield* freePort
    const reader = { output: "" }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const file = join(place, `reader-${process.pid}.mjs`)
        writeFileSync(file, of("js")[0]!)
        const env = { ...process.env, APP_PORT: `${port}` }
        const child = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "inherit"] })
        child.stdout.setEncoding("utf8").on("data", (text: string) => void (reader.output += text))
        return { child, file }
      }),
      ({ child, file }) =>
        Effect.sync(() => {
          child.kill("SIGKILL")
          rmSync(file, { force: true })
        })
    )
    yield* startSidecar({
      appId: "reader",
      appPort: port,
      appProtocol: "http",
      flags: ["--resources-path", join(folder, "redis")],
      components: ["pubsub"]
    })
    return reader
  })

/** Waits until it holds. */
const until = (what: string, condition: () => Promise<boolean>) =>
  Effect.promise(() => expect.poll(condition, { timeout: 30_000, interval: 50, message: what }).toBe(true))

/** Several processes start, one after the other, and the machine may be busy. */
const LONG = 240_000

requiring("daprd", "redis")("README, with Dapr", () => {
  it.scopedLive(
    "its commands put a feed into a Redis stream, in order through restarts of Redis and of the sidecar",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ args: words("redis-server") })
        const folder = yield* deployed({ "localhost:6379": `127.0.0.1:${redis.port}` })
        const [http, grpc] = yield* Effect.all([freePort, freePort])

        // `dapr run` starts daprd with these flags; the ports are those of the test.
        const PORTS = ["--dapr-http-port", "--dapr-grpc-port"]
        const flags = words("dapr run --app-id websocketmanager").map((word) =>
          word.replace(/^\.\/dapr-components/, folder)
        )
        const sidecar = yield* startSidecar({
          flags: [
            ...flags.filter((word, i) => !PORTS.includes(word) && !PORTS.includes(flags[i - 1]!)),
            "--app-port",
            `${grpc}`
          ],
          components: ["statestore", "pubsub", "secretstore"]
        })

        const [setting, ...command] = lines.find((line) => line.endsWith("npm start"))!.split(" ")
        expect([setting, ...command]).toEqual(["WSM_BACKING=dapr", "npm", "start"])
        const manager = yield* started(["serve"], {
          WSM_BACKING: "dapr",
          WSM_HTTP_PORT: `${http}`,
          WSM_GRPC_PORT: `${grpc}`,
          DAPR_HTTP_PORT: `${sidecar.httpPort}`,
          DAPR_GRPC_PORT: `${sidecar.grpcPort}`
        })
        const server = `http://127.0.0.1:${http}`
        yield* Effect.promise(() => manager.line(/websocketmanager is up/))
        yield* until("ready", async () => (await fetch(`${server}/health/ready`).catch(() => undefined))?.ok === true)

        const [interval] = /".*"/.exec(lines.find((line) => line.startsWith("npx wsm feed"))!)!
        const feed = yield* started(["feed", "--port", "0", "--drop-every", interval.slice(1, -1)], {})
        const [url] = yield* Effect.promise(() => feed.line(/ws:\/\/\S+/))

        const main = join(yield* Effect.promise(builtDist), "main.js")
        const reader = yield* subscriber(folder, dirname(dirname(main)))
        const type = async (line: string): Promise<string> => {
          const text = line
            .replace(/^npx wsm/, `${process.execPath} ${main}`)
            .replace(/^redis-cli/, `redis-cli -p ${redis.port}`)
            .replace("ws://127.0.0.1:8999", url!)
          const env = { ...process.env, WSM_SERVER: server }
          return (await promisify(execFile)("bash", ["-c", text], { env })).stdout
        }
        const typed = (line: string) => Effect.promise(() => type(line))
        const begun = lines.filter((line) => !/^(redis-server|dapr run|WSM_BACKING|npx wsm feed)/.test(line))
        expect(begun.map((line) => line.split(" ")[0])).toEqual(["npx", "npx", "redis-cli", "redis-cli"])
        yield* typed(begun[0]!)
        const events = () => streamEvents(redis.port, "prices")
        const length = () => events().then((all) => all.length)
        yield* until("frames are in the stream", async () => (await length()) >= 2)
        // the feed may just have been cut
        yield* until("listed", async () => / connected +prices /.test(await type(begun[1]!)))
        const range = yield* typed(begun[2]!)
        expect(range).toContain("websocketmanager.frame")
        expect(range).toContain('\\"price\\"')
        expect(Number(yield* typed(begun[3]!))).toBeGreaterThanOrEqual(2)

        for (const part of [redis, sidecar]) {
          yield* part.stop
          yield* Effect.sleep("2 seconds") // an outage of some length, not a wait for something
          yield* part.start
          const now = yield* Effect.promise(length)
          yield* until("the stream goes on", async () => (await length()) >= now + 5)
        }
        const all = yield* Effect.promise(events)
        const read = (): ReadonlyArray<string> => reader.output.trim().split("\n")
        const lastRead = () => Number(/^\d+:(\d+) /.exec(read().at(-1)!)?.[1])
        yield* until("the subscriber has all of it", async () => lastRead() >= Number(all.at(-1)!["sequence"]))
        expect(read().findIndex((line, i) => !line.startsWith(`${String(all[0]!["epoch"])}:${i + 1} `))).toBe(-1)

        const accepted: Array<number> = []
        for (const { epoch, sequence } of all) {
          expect(epoch).toBe(all[0]!["epoch"])
          if (Number(sequence) > (accepted.at(-1) ?? 0)) accepted.push(Number(sequence))
        }
        expect(accepted).toEqual(accepted.map((_, i) => i + 1))

        manager.child.kill("SIGTERM")
        expect(yield* Effect.promise(() => manager.ended)).toMatchObject({ status: 0 })
      }),
    LONG
  )
})
