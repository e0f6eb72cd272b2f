/** The sidecar that all tests of this folder use: every component loads, answers, and nothing is left behind. */
import { readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import {
  Client,
  credentials,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream
} from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as C from "../support/Components.js"
import { startNats } from "../support/Nats.js"
import { startPostgres } from "../support/Postgres.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { streamEntries, streamEvents, streamLength } from "../support/RedisStream.js"
import { startSidecar, type Sidecar } from "../support/Sidecar.js"
import { subscribe } from "../support/Subscriber.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

const post = (sidecar: Sidecar, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(`${sidecar.url}/v1.0/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body)
    })
    return response.status
  })
const get = (sidecar: Sidecar, path: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(`${sidecar.url}/v1.0/${path}`, { headers })
    return { status: response.status, body: await response.text() }
  })
const publish = (sidecar: Sidecar, topic: string, data: unknown) => post(sidecar, `publish/${C.PUBSUB}/${topic}`, data)

/** One record there and back. */
const keeps = (sidecar: Sidecar, store: string) =>
  Effect.gen(function* () {
    expect(yield* post(sidecar, `state/${store}`, [{ key: "k", value: { store } }]), store).toBe(204)
    const { status, body } = yield* get(sidecar, `state/${store}/k`)
    expect(status).toBe(200)
    expect(JSON.parse(body)).toEqual({ store })
  })

/** Twenty events there, in order. */
const delivers = (sidecar: Sidecar, topic: string) =>
  Effect.gen(function* () {
    const subscriber = yield* subscribe({ sidecar, topic })
    for (let n = 0; n < 20; n++) expect(yield* publish(sidecar, topic, { n })).toBe(204)
    const events = yield* subscriber.received(20)
    expect(events.map(({ data }) => String(data))).toEqual(twenty.map((n) => `{"n":${n}}`))
  })
const twenty = Array.from({ length: 20 }, (_, n) => n)

const capabilities = (sidecar: Sidecar) =>
  Effect.map(
    sidecar.metadata,
    ({ components = [] }) => new Map(components.map(({ name, capabilities }) => [name, capabilities ?? []]))
  )

requiring("daprd")("A sidecar", () => {
  it.scopedLive("keeps state in memory and in a file, delivers in memory, and reads secrets", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryDirectory
      writeFileSync(join(folder, "secrets.json"), JSON.stringify({ feed: { token: "t0k" } }))
      const sidecar = yield* startSidecar({
        resources: [
          C.stateInMemory(),
          C.stateSqlite(join(folder, "state.db"), { name: "in-a-file" }),
          C.pubsubInMemory(),
          C.secretsFile(join(folder, "secrets.json")),
          C.secretsEnv({ name: "environment" }),
          C.resiliencyTimeouts({ "wsm-state": "2s" })
        ],
        env: { FEED_TOKEN: "from the environment" }
      })
      yield* keeps(sidecar, C.STATE)
      yield* keeps(sidecar, "in-a-file")
      yield* delivers(sidecar, "orders")
      expect((yield* get(sidecar, `secrets/${C.SECRETS}/feed:token`)).body).toContain('"feed:token":"t0k"')
      expect((yield* get(sidecar, "secrets/environment/FEED_TOKEN")).body).toContain("from the environment")
      const found = yield* capabilities(sidecar)
      for (const store of [C.STATE, "in-a-file"])
        expect(found.get(store)).toEqual(expect.arrayContaining(["ETAG", "TTL"]))
      expect(yield* sidecar.metric("dapr_http_server_request_count", { method: "POST" })).toBeGreaterThan(0)
    })
  )

  it.scopedLive("loads a store that the manager must refuse, without a server", () =>
    Effect.gen(function* () {
      const sidecar = yield* startSidecar({ resources: [C.stateEtcd(1)] })
      expect((yield* capabilities(sidecar)).get(C.STATE)).toContain("ETAG")
    })
  )

  it.scopedLive("is loaded from a folder, with a Configuration, tokens and a body limit", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryDirectory
      writeFileSync(join(folder, "all.yaml"), [C.stateInMemory().yaml, C.pubsubInMemory().yaml].join("---\n"))
      const config = C.configuration({
        api: { allowed: ["state", "metadata"].map((name) => ({ name, version: "v1", protocol: "http" })) }
      })
      const sidecar = yield* startSidecar({ resources: folder, config, apiToken: "secret", maxBodySize: "1Mi" })
      const token = { "dapr-api-token": "secret" }
      const record = [{ key: "k", value: "v" }]
      expect(yield* post(sidecar, `state/${C.STATE}`, record)).toBe(401)
      expect(yield* post(sidecar, `state/${C.STATE}`, record, token)).toBe(204)
      expect(yield* post(sidecar, `state/${C.STATE}`, [{ key: "k", value: "v".repeat(1 << 20) }], token)).toBe(400)
      expect(yield* post(sidecar, `publish/${C.PUBSUB}/orders`, {}, token)).toBe(404)
    })
  )

  it.scopedLive("says why it did not start", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(startSidecar({ resources: [C.stateRedis(1)] }))
      expect(message).toMatch(/^daprd-wsm ended at its start with 1; its log is \/.*\.log, and ends with/)
      expect(message).toContain(C.STATE)
    })
  )

  it.scopedLive("comes back on its ports after it was stopped, killed and frozen", () =>
    Effect.gen(function* () {
      const sidecar = yield* startSidecar({ resources: [C.stateInMemory()] })
      for (const down of [sidecar.stop, sidecar.kill]) {
        yield* down
        expect(sidecar.pid()).toBeUndefined()
        yield* sidecar.start
        yield* keeps(sidecar, C.STATE)
      }
      yield* sidecar.pause
      const frozen = Effect.promise((signal) => fetch(`${sidecar.url}/v1.0/healthz`, { signal }).catch(() => "aborted"))
      expect(yield* Effect.option(Effect.timeout(frozen, 300))).toMatchObject({ _tag: "None" })
      yield* sidecar.resume
      yield* keeps(sidecar, C.STATE)
    })
  )
})

requiring("daprd")("Two sidecars", () => {
  it.scopedLive("find each other by a file, and pass on gRPC calls and streams by app-id, with their metadata", () =>
    Effect.gen(function* () {
      const config = C.configuration(C.namesIn(join(yield* temporaryDirectory, "names.db")))
      const { port, seen } = yield* greeter
      yield* startSidecar({ appId: "callee", appPort: port, config, appToken: "shown" })
      const caller = yield* startSidecar({ appId: "caller", config })
      const client = new Client(`127.0.0.1:${caller.grpcPort}`, credentials.createInsecure())
      const metadata = new Metadata()
      metadata.set("dapr-app-id", "callee")
      metadata.set("x-of-ours", "kept")
      const unary = () =>
        new Promise<string>((resolve, reject) =>
          client.makeUnaryRequest("/g.Greeter/Greet", toBytes, String, "you", metadata, (error, reply) =>
            error === null ? resolve(reply!) : reject(error)
          )
        )
      expect(
        yield* Effect.retry(Effect.tryPromise(unary), Schedule.intersect(Schedule.spaced(100), Schedule.recurs(50)))
      ).toBe("hello you")
      const stream = client.makeServerStreamRequest("/g.Greeter/Count", toBytes, String, "3", metadata)
      expect(yield* Effect.promise(() => stream.toArray())).toEqual(["1", "2", "3"])
      expect(seen.get("x-of-ours")).toEqual(["kept"])
      expect(seen.get("dapr-api-token")).toEqual(["shown"])
      client.close()
    })
  )
})

/** A gRPC application of two methods, texts in and out. */
const greeter = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = new Server()
    const seen = new Metadata()
    const method = (path: string, responseStream: boolean) => ({
      path,
      requestStream: false,
      responseStream,
      requestSerialize: toBytes,
      requestDeserialize: String,
      responseSerialize: toBytes,
      responseDeserialize: String
    })
    server.addService(
      { greet: method("/g.Greeter/Greet", false), count: method("/g.Greeter/Count", true) },
      {
        greet: (call: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) => {
          seen.merge(call.metadata)
          answer(null, `hello ${call.request}`)
        },
        count: (call: ServerWritableStream<string, string>) => {
          for (let n = 1; n <= Number(call.request); n++) call.write(String(n))
          call.end()
        }
      }
    )
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error)
      )
    )
    return { server, port, seen }
  }),
  ({ server }) => Effect.sync(() => server.forceShutdown())
)
const toBytes = (text: string): Buffer => Buffer.from(text)

requiring("daprd", "redis")("A sidecar on Redis", () => {
  it.scopedLive("keeps state and delivers what is published, to a subscriber and in the stream", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
      yield* keeps(sidecar, C.STATE)
      yield* delivers(sidecar, "orders")
      const [events, length] = yield* Effect.promise(() =>
        Promise.all([streamEvents(redis.port, "orders"), streamLength(redis.port, "orders")])
      )
      expect(events.map(({ data }) => data)).toEqual(twenty.map((n) => ({ n })))
      expect(length).toBe(20)
    })
  )

  it.scopedLive("reads a stream of more than one page", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const script = "for n = 1, 2500 do redis.call('XADD', KEYS[1], '*', 'data', n) end"
      yield* redis.command("EVAL", script, "1", "many")
      const entries = yield* Effect.promise(() => streamEntries(redis.port, "many"))
      expect(entries.map(({ data }) => Number(data))).toEqual(Array.from({ length: 2500 }, (_, n) => n + 1))
    })
  )
})

requiring("daprd", "postgres")("A sidecar on PostgreSQL", () => {
  it.scopedLive("keeps state by both versions of the component, and by one nobody has tested", () =>
    Effect.gen(function* () {
      const { connectionString, query } = yield* startPostgres
      const sidecar = yield* startSidecar({
        resources: [
          C.statePostgres(connectionString),
          C.statePostgresV1(connectionString, { name: "old" }),
          C.stateYugabyte(connectionString, {
            name: "untested",
            metadata: { tablePrefix: "yb_", metadataTableName: "yb" }
          })
        ]
      })
      for (const store of [C.STATE, "old", "untested"]) yield* keeps(sidecar, store)
      expect(yield* query("select count(*) from wsm_state")).toBe("1")
    })
  )
})

requiring("daprd", "nats")("A sidecar on NATS JetStream", () => {
  it.scopedLive("delivers what is published, to a subscriber and in the stream", () =>
    Effect.gen(function* () {
      const nats = yield* startNats()
      const sidecar = yield* startSidecar({ resources: [C.pubsubJetstream(nats.url, nats.stream)] })
      yield* delivers(sidecar, "orders")
      const stored = (yield* nats.messages("orders")).map((bytes) => JSON.parse(String(bytes)) as { data: unknown })
      expect(stored.map(({ data }) => data)).toEqual(twenty.map((n) => ({ n })))
      expect(yield* publish(sidecar, "outside.the.stream", {})).toBe(500)
    })
  )
})

requiring(
  "daprd",
  "redis",
  "postgres",
  "nats"
)("The end of a scope", () => {
  it.scopedLive("leaves no process and no folder behind", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const servers = yield* Scope.extend(
        Effect.gen(function* () {
          const others = yield* Effect.all([startRedis(), startNats(), startPostgres], { concurrency: 3 })
          const paused = yield* startSidecar({ resources: [C.stateRedis(others[0].port)] })
          yield* paused.pause
          return [...others, paused]
        }),
        scope
      )
      const folders = servers.map(({ logFile }) => logFile.slice(0, logFile.lastIndexOf("/")))
      expect(processesIn(folders).length).toBeGreaterThan(servers.length)
      yield* Scope.close(scope, Exit.void)
      expect(processesIn(folders)).toEqual([])
      expect(readdirSync(tmpdir()).filter((name) => folders.includes(join(tmpdir(), name)))).toEqual([])
    })
  )

  it.live("keeps the folder when it ends with a failure", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const redis = yield* Scope.extend(startRedis(), scope)
      yield* Scope.close(scope, Exit.fail("on purpose"))
      expect(readFileSync(redis.logFile, "utf8")).toContain("Ready to accept connections")
      rmSync(join(redis.logFile, ".."), { recursive: true })
    })
  )
})

/** Living processes that work in one of the folders. */
const processesIn = (folders: ReadonlyArray<string>): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const place = readlinkSync(`/proc/${pid}/cwd`)
        return folders.some((folder) => place.startsWith(folder))
      } catch {
        return false
      }
    })
