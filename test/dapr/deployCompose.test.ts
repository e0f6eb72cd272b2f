/** What compose.yaml starts, started without containers: two instances, each with its sidecar, on one Redis. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { built, start } from "../cli/runWsm.js"
import { freePort } from "../support/Ports.js"
import { startRedis } from "../support/Redis.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { startSidecar } from "../support/Sidecar.js"
import { deployed, textOf } from "./deployedFolder.js"

interface Service {
  readonly command: ReadonlyArray<string>
  readonly environment: Readonly<Record<string, string>>
}
const { services } = parse(textOf("compose.yaml"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
}
const TOKENS = {
  WSM_API_TOKEN: "a-token-that-is-long-enough",
  DAPR_API_TOKEN: "of-the-sidecar",
  APP_API_TOKEN: "of-the-app",
  REDIS_PASSWORD: "of-redis"
}
/** As compose fills in what the environment has. */
const environmentOf = (name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(services[name]!.environment).map(([key, value]) => [key, value.startsWith("${") ? TOKENS[key as keyof typeof TOKENS] : value]) // prettier-ignore
  )

const until = (what: string, condition: () => Promise<boolean>) =>
  Effect.promise(() => expect.poll(condition, { timeout: 30_000, interval: 50, message: what }).toBe(true))

/** Instance and sidecar number `n`, on ports of their own in place of networks of their own. */
const pair = (n: number, folder: string) =>
  Effect.gen(function* () {
    const [http, grpc] = yield* Effect.all([freePort, freePort])
    const [, ...flags] = services[`sidecar-${n}`]!.command
    const environment = environmentOf(`sidecar-${n}`)
    const sidecar = yield* startSidecar({
      appId: "websocketmanager",
      apiToken: environment["DAPR_API_TOKEN"]!,
      appToken: environment["APP_API_TOKEN"]!,
      env: { REDIS_PASSWORD: environment["REDIS_PASSWORD"]! },
      components: ["statestore", "pubsub", "secretstore"],
      flags: flags.map((word) => word.replace("/dapr-components", folder).replace("app-port=5002", `app-port=${grpc}`))
    })
    const manager = yield* Effect.acquireRelease(
      Effect.promise(() =>
        start(["serve"], {
          ...environmentOf(`manager-${n}`),
          WSM_HTTP_PORT: `${http}`,
          WSM_GRPC_PORT: `${grpc}`,
          DAPR_HTTP_PORT: `${sidecar.httpPort}`,
          DAPR_GRPC_PORT: `${sidecar.grpcPort}`,
          // the test's WebSocket server
          WSM_EGRESS_ALLOW: "127.0.0.1",
          WSM_SECRET_HOSTS: "feed=ws://127.0.0.1:*"
        })
      ),
      ({ child, ended }) =>
        Effect.promise(async () => {
          child.kill("SIGKILL")
          await ended
        })
    )
    yield* Effect.promise(() => manager.line(/websocketmanager is up/))
    return { sidecar, manager, url: `http://127.0.0.1:${http}` }
  })

/** Several processes start, one after the other, and the machine may be busy. */
const LONG = 240_000

requiring("daprd", "redis")("compose.yaml, without containers", () => {
  it.scopedLive(
    "two instances come up ready and healthy, publish, and end with their sidecars, all records written",
    () =>
      Effect.gen(function* () {
        const args = services["redis"]!.command.slice(1).filter((word) => !word.includes("REDIS_PASSWORD"))
        expect(args.pop()).toBe("--requirepass")
        const redis = yield* startRedis({ args, password: TOKENS.REDIS_PASSWORD })
        const folder = yield* deployed({
          "redis:6379": `127.0.0.1:${redis.port}`,
          "/run/secrets/feeds": "dapr-components/secrets/example.json"
        })
        const server = yield* Effect.acquireRelease(
          Effect.promise(() => ScriptedServer.start()),
          (server) => Effect.promise(() => server.stop())
        )
        const pairs = yield* Effect.all([pair(1, folder), pair(2, folder)])
        for (const [i, { sidecar, url }] of pairs.entries()) {
          yield* until("ready", async () => (await fetch(`${url}/health/ready`)).ok)
          // it has asked the gRPC port for health, and has found it well
          yield* until("the sidecar", async () => (await fetch(`${sidecar.url}/v1.0/healthz`)).status === 204)
          const headers = { authorization: `Bearer ${TOKENS.WSM_API_TOKEN}` }
          const health = yield* Effect.promise(async () => (await fetch(`${url}/health`, { headers })).json())
          expect(health).toMatchObject({ status: "ok", phase: "ready" })

          const wsm = ["connect", server.url, "--topic", "prices", "--header", "Authorization=secret:feed/token"]
          const main = join(yield* Effect.promise(built), "main.js")
          const env = { ...process.env, WSM_SERVER: url, WSM_API_TOKEN: TOKENS.WSM_API_TOKEN }
          yield* Effect.promise(() => promisify(execFile)(process.execPath, [main, ...wsm], { env }))
          expect(server.last.headers["authorization"]).toBe("an-example-put-your-own-here")
          server.last.send(`from ${i + 1}`)
        }
        yield* until("both frames", async () => (await streamEvents(redis.port, "prices")).length === 2)
        const events = yield* Effect.promise(() => streamEvents(redis.port, "prices"))
        expect(events.map(({ data, instanceid }) => [data, instanceid])).toEqual([
          ["from 1", "manager-1"],
          ["from 2", "manager-2"]
        ])

        const grace = 60_000
        const began = Date.now()
        for (const { manager, sidecar } of pairs) {
          process.kill(sidecar.pid()!, "SIGTERM")
          manager.child.kill("SIGTERM")
        }
        for (const { manager, sidecar } of pairs) {
          expect(yield* Effect.promise(() => manager.ended)).toMatchObject({ status: 0 })
          expect(manager.output.err).toContain("drained")
          yield* sidecar.ended
        }
        expect(Date.now() - began).toBeLessThan(grace)
        for (const n of [1, 2]) {
          const key = `websocketmanager-state||websocketmanager/instances/manager-${n}`
          expect(String(yield* redis.command("HGET", key, "data"))).toContain('"status":"left"')
        }
      }),
    LONG
  )
})
