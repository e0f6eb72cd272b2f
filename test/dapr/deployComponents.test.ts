/** Every folder of `dapr-components` is loaded by a real sidecar, and what it has loaded works. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments, stringify } from "yaml"
import { resource } from "../support/Components.js"
import { startNats } from "../support/Nats.js"
import { startPostgres } from "../support/Postgres.js"
import { startRedis } from "../support/Redis.js"
import { streamLength } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { type Sidecar, startSidecar } from "../support/Sidecar.js"
import { deployed, sidecarOn } from "./deployedFolder.js"

const loaded = (sidecar: Sidecar) =>
  Effect.map(sidecar.metadata, ({ components = [] }) =>
    Object.fromEntries(components.map(({ name, type, version }) => [name, `${type}/${version}`]))
  )

/** Status and text of a request to the sidecar. */
const ask = (sidecar: Sidecar, path: string, body?: unknown) =>
  Effect.promise(async () => {
    const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    const answer = await fetch(`${sidecar.url}/v1.0/${path}`, body === undefined ? {} : post)
    return { status: answer.status, text: await answer.text() }
  })

/** The key is read back as it was written, and under its own name; an event is taken; the example secret is read. */
const works = (sidecar: Sidecar) =>
  Effect.gen(function* () {
    const options = { concurrency: "first-write" }
    expect((yield* ask(sidecar, "state/statestore", [{ key: "wsm-key", value: { v: 1 }, options }])).status).toBe(204)
    expect((yield* ask(sidecar, "state/statestore/wsm-key")).text).toBe('{"v":1}')
    expect((yield* ask(sidecar, "publish/pubsub/demo", { n: 1 })).status).toBe(204)
    expect(yield* ask(sidecar, "secrets/secretstore/feed")).toMatchObject({ text: expect.stringContaining('"token"') })
  })

/** What `resiliency.yaml` and `config.yaml` bring: told in the log of the sidecar, nothing of it complained about. */
const governed = (sidecar: Sidecar) =>
  Effect.gen(function* () {
    const log = yield* sidecar.logs
    expect(log).toContain("Loading Resiliency configuration: websocketmanager")
    expect(log).not.toMatch(/level=(error|fatal)|Could not (read|parse)|error when parsing/)
    expect(log).toMatch(/Enabled features: (?!.*HotReload)/)
    expect(log).toContain("TraceIDRatioBased{0}")
  })

requiring("daprd")("dapr-components/local", () => {
  it.scopedLive("is loaded without any server", () =>
    Effect.gen(function* () {
      const sidecar = yield* sidecarOn(yield* deployed({}), ["local"])
      expect(yield* loaded(sidecar)).toEqual({
        statestore: "state.in-memory/v1",
        pubsub: "pubsub.in-memory/v1",
        secretstore: "secretstores.local.file/v1"
      })
      yield* works(sidecar)
      yield* governed(sidecar)
    })
  )
})

requiring("daprd", "redis")("dapr-components/redis and compose", () => {
  for (const [name, address, password] of [
    ["redis", "localhost:6379", undefined],
    ["compose", "redis:6379", "of-redis"]
  ] as const) {
    it.scopedLive(`${name}: a topic is a stream, and one called like a record does not stand in its place`, () =>
      Effect.gen(function* () {
        const redis = yield* startRedis(password === undefined ? {} : { password })
        const folder = yield* deployed({
          [address]: `127.0.0.1:${redis.port}`,
          "/run/secrets/feeds": "dapr-components/secrets/example.json"
        })
        const env = password === undefined ? {} : { env: { REDIS_PASSWORD: password } }
        const sidecar = yield* sidecarOn(folder, [name], env)
        expect(yield* loaded(sidecar)).toEqual({
          statestore: "state.redis/v1",
          pubsub: "pubsub.redis/v1",
          secretstore: "secretstores.local.file/v1",
          ...(password === undefined ? {} : { environment: "secretstores.local.env/v1" })
        })
        yield* works(sidecar)
        expect(yield* redis.command("EXISTS", "websocketmanager-state||wsm-key")).toBe(1)
        const key = "websocketmanager/instances/a/connections/1"
        expect((yield* ask(sidecar, `publish/pubsub/${encodeURIComponent(key)}`, { n: 1 })).status).toBe(204)
        expect((yield* ask(sidecar, "state/statestore", [{ key, value: 1 }])).status).toBe(204)
        expect((yield* ask(sidecar, `state/statestore/${encodeURIComponent(key)}`)).text).toBe("1")
        expect((yield* ask(sidecar, "secrets/environment/REDIS_PASSWORD")).text).not.toContain("of-redis")
        expect(yield* Effect.promise(() => streamLength(redis.port, "demo"))).toBe(1)
        yield* governed(sidecar)
      })
    )
  }
})

requiring(
  "daprd",
  "postgres",
  "nats"
)("dapr-components/postgresql with dapr-components/jetstream", () => {
  it.scopedLive("records are rows of tables with our prefix, a topic is a subject of the stream", () =>
    Effect.gen(function* () {
      const postgres = yield* startPostgres
      yield* postgres.query("create database wsm")
      const nats = yield* startNats()
      const folder = yield* deployed({
        "host=localhost port=5432": `host=127.0.0.1 port=${postgres.port}`,
        "nats://localhost:4222": nats.url
      })
      const sidecar = yield* sidecarOn(folder, ["postgresql", "jetstream"])
      expect(yield* loaded(sidecar)).toEqual({
        statestore: "state.postgresql/v2",
        pubsub: "pubsub.jetstream/v1",
        secretstore: "secretstores.local.file/v1"
      })
      yield* works(sidecar)
      expect(yield* nats.messages("demo")).toHaveLength(1)
      yield* governed(sidecar)
      // A store that hangs: the write ends by the policy of `resiliency.yaml`, which nothing else would end.
      yield* postgres.pause
      const began = Date.now()
      expect((yield* ask(sidecar, "state/statestore", [{ key: "hangs", value: 1 }])).status).toBe(500)
      expect(Date.now() - began).toBeGreaterThan(4_000)
      expect(Date.now() - began).toBeLessThan(15_000)
      yield* postgres.resume
    })
  )
})

requiring(
  "daprd",
  "postgres",
  "redis"
)("dapr-components/kubernetes/components.yaml", () => {
  it.scopedLive("is loaded, with a file in place of the cluster's secrets, and works", () =>
    Effect.gen(function* () {
      const postgres = yield* startPostgres
      const redis = yield* startRedis()
      const folder = yield* deployed({ "redis:6379": `127.0.0.1:${redis.port}` })
      const secrets = join(folder, "cluster.json")
      const kept = {
        "websocketmanager-store": { connection: postgres.connectionString },
        "websocketmanager-broker": { password: "" },
        feed: { token: "t0k" }
      }
      writeFileSync(secrets, JSON.stringify(kept))
      const text = readFileSync(join(folder, "kubernetes/components.yaml"), "utf8")
      const documents = parseAllDocuments(text).map((document) => {
        const value = document.toJS() as ClusterDocument
        if (value.kind !== "Component") return value
        if (value.spec.type !== "secretstores.kubernetes") return { ...value, auth: { secretStore: "secretstore" } }
        const metadata = [
          { name: "secretsFile", value: secrets },
          { name: "multiValued", value: "true" }
        ]
        return { ...value, spec: { ...value.spec, type: "secretstores.local.file", metadata } }
      })
      const [config, ...others] = documents.filter(({ kind }) => kind === "Configuration")
      expect(others).toEqual([])
      const resources = documents.filter(({ kind }) => kind !== "Configuration").map((one) => resource(stringify(one)))
      const sidecar = yield* startSidecar({ appId: "websocketmanager", config: stringify(config), resources })
      expect(yield* loaded(sidecar)).toEqual({
        statestore: "state.postgresql/v2",
        pubsub: "pubsub.redis/v1",
        secretstore: "secretstores.local.file/v1"
      })
      yield* works(sidecar)
      expect(yield* postgres.query("select key from wsm_state")).toContain("wsm-key")
      expect(yield* Effect.promise(() => streamLength(redis.port, "demo"))).toBe(1)
      yield* governed(sidecar)
    })
  )
})

interface ClusterDocument {
  readonly kind: string
  readonly spec: { readonly type?: string }
}
