/** How an instance starts beside a sidecar, and how it says why it does not. */
import { once } from "node:events"
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, createServer, type Server } from "node:net"
import { promisify } from "node:util"
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js"
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { built, spawned } from "../cli/runWsm.js"
import { cleanUp, Instance, launch, logOf, until } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import { freePort } from "../support/Ports.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { subscribe } from "../support/Subscriber.js"
import { beside, healthOf, IN_MEMORY, readiness, scoped } from "./besideSidecar.js"

const TIMEOUT = 60_000

/** Ends by itself: its status, and what it said for people. */
const refusal = (env: Readonly<Record<string, string>>) =>
  Effect.promise(async () => {
    const { err, out, status } = await spawned(["serve"], {
      WSM_HTTP_PORT: "0",
      WSM_GRPC_PORT: "0",
      WSM_LOG_FORMAT: "json",
      ...env
    })
    return { status, out, lines: err.split("\n").filter((line) => line !== "" && !line.startsWith("{")) }
  })

const expectRefusal = (env: Readonly<Record<string, string>>, ...patterns: ReadonlyArray<RegExp>) =>
  Effect.map(refusal(env), ({ lines, out, status }) => {
    expect({ status, out, lines }).toEqual({ status: 1, out: "", lines: [expect.any(String)] })
    for (const pattern of patterns) expect(lines[0]).toMatch(pattern)
  })

requiring("daprd")("an instance beside a sidecar", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "starts, keeps its records in the store behind it, and publishes through it",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        const server = yield* scoped(
          () => ScriptedServer.start(),
          (server) => server.stop()
        )
        const subscriber = yield* subscribe({ sidecar, topic: "prices" })
        const env = beside(sidecar, { WSM_INSTANCE_ID: "one" })
        const instance = yield* Effect.promise(() => Instance.start(env))
        expect((yield* Effect.promise(() => healthOf(instance.url))).by).toEqual({
          manager: "ok",
          lease: "ok",
          stateStore: "ok",
          pubsub: "ok",
          sidecar: "ok"
        })
        yield* Effect.promise(() => instance.connect({ url: server.url, topic: "prices" }))
        for (const text of ["a", "b", "c"]) server.last.send(text)
        const events = yield* subscriber.received(3)
        expect(events.map(({ data }) => Buffer.from(data).toString())).toEqual(["a", "b", "c"])
        const record = yield* Effect.promise(() => fetch(`${sidecar.url}/v1.0/state/${C.STATE}/${KEY}`))
        expect(yield* Effect.promise(() => record.json())).toMatchObject({ id: "one", status: "alive" })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "waits for the sidecar, says so at once and every few seconds, and starts when it serves",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        yield* sidecar.stop
        const httpPort = yield* freePort
        const process = yield* Effect.promise(() => launch(beside(sidecar, { WSM_HTTP_PORT: String(httpPort) })))
        const waiting = () => logOf(process).filter(({ message }) => message.startsWith("waiting for the Dapr sidecar"))
        yield* Effect.promise(() => until(() => waiting().length === 1, "the first line"))
        expect(waiting()[0]!.message).toMatch(
          new RegExp(`^waiting for the Dapr sidecar at 127.0.0.1:${sidecar.httpPort}, for another 60 s: .*refused`)
        )
        yield* Effect.promise(() => until(() => waiting().length === 2, "the second line"))
        // a platform that probes meanwhile sees that it lives, and is not ready
        const status = async (path: string) => (await fetch(`http://127.0.0.1:${httpPort}${path}`)).status
        expect(yield* Effect.promise(() => Promise.all(["/alive", "/health/ready"].map(status)))).toEqual([200, 503])
        expect(process.output.out).toBe("")
        yield* sidecar.start
        const [, url] = yield* Effect.promise(() => process.line(/^websocketmanager is up: http (\S+)/))
        yield* Effect.promise(() => until(async () => (await readiness(url!)) === 200, "ready"))
      }),
    TIMEOUT
  )

  it.scopedLive(
    "ends at a signal while it waits",
    () =>
      Effect.gen(function* () {
        const [httpPort, grpcPort] = [yield* freePort, yield* freePort]
        const process = yield* Effect.promise(() => launch(beside({ httpPort, grpcPort })))
        yield* Effect.promise(() => until(() => logOf(process).length > 0, "the first line"))
        process.child.kill("SIGTERM")
        expect(yield* Effect.promise(() => process.ended)).toEqual({ status: 0, signal: null })
      }),
    TIMEOUT
  )

  it.scopedLive(
    "without a sidecar it gives up in one line that says where it looked and what to do",
    () =>
      Effect.gen(function* () {
        const [httpPort, grpcPort] = [yield* freePort, yield* freePort]
        yield* expectRefusal(
          beside({ httpPort, grpcPort }, { WSM_DAPR_WAIT: "1 second" }),
          new RegExp(
            `^wsm: the Dapr sidecar at 127\\.0\\.0\\.1:${httpPort} is not available: it was not ready within 1 s`
          ),
          new RegExp(`WSM_DAPR_WAIT.*refused.*dapr run .*--dapr-http-port ${httpPort}.*DAPR_HOST`)
        )
      }),
    TIMEOUT
  )

  it.scopedLive(
    "so does one whose sidecar accepts and never answers, or whose gRPC port is another's",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        const proxy = yield* StallingProxy.start(sidecar.httpPort)
        yield* proxy.stall
        const wait = { WSM_DAPR_WAIT: "1 second" }
        yield* expectRefusal(
          beside({ httpPort: proxy.port, grpcPort: sidecar.grpcPort }, wait),
          /was not ready within .*no answer within 2 s/
        )
        const nobody = yield* freePort
        yield* expectRefusal(
          beside({ httpPort: sidecar.httpPort, grpcPort: nobody }, wait),
          new RegExp(`nothing listens at its gRPC port ${nobody} \\(DAPR_GRPC_PORT\\)`)
        )
      }),
    TIMEOUT
  )

  it.scopedLive(
    "one whose DAPR_GRPC_PORT leads to something else ends in one line that names it, whatever answers there",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        const http = yield* scoped(
          () => listening(createHttpServer((_, answer) => answer.writeHead(502).end())),
          ({ server }) => server.close()
        )
        // as Redis does: it answers text, and ends the connection
        const text = yield* scoped(
          () => listening(createServer((socket) => socket.on("error", () => {}).end("-ERR unknown command\r\n"))),
          ({ server }) => server.close()
        )
        const grpc = yield* scoped(
          () => grpcServer(),
          ({ server }) => server.forceShutdown()
        )
        const others = [
          { port: sidecar.httpPort, says: "is no gRPC: HTTP 404" },
          { port: http.port, says: "is no gRPC: " },
          { port: text.port, says: "is no gRPC: " },
          { port: grpc.port, says: "is no sidecar: .*dapr.proto.runtime.v1.Dapr" }
        ]
        for (const { port, says } of others) {
          yield* expectRefusal(
            beside({ httpPort: sidecar.httpPort, grpcPort: port }, { WSM_DAPR_WAIT: "0 millis" }),
            new RegExp(`^wsm: the Dapr sidecar .* is not ready \\(WSM_DAPR_WAIT is 0\\): .*port ${port} `),
            new RegExp(`port ${port} \\(DAPR_GRPC_PORT\\) ${says}.*; set DAPR_GRPC_PORT to the port`)
          )
        }
      }),
    2 * TIMEOUT
  )

  it.scopedLive(
    "one whose sidecar allows state and publishing alone over gRPC starts",
    () =>
      Effect.gen(function* () {
        const allow = (name: string, protocol: string) => ({ name, version: "v1", protocol })
        const allowed = [allow("state", "grpc"), allow("metadata", "http"), allow("publish", "http")]
        const config = C.configuration({ api: { allowed } })
        const sidecar = yield* startSidecar({ resources: IN_MEMORY, config })
        const instance = yield* Effect.promise(() => Instance.start(beside(sidecar)))
        expect(yield* Effect.promise(() => readiness(instance.url))).toBe(200)
      }),
    TIMEOUT
  )

  it.scopedLive(
    "needs the right token: all works with it; a wrong or missing one is told at once, by name",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY, apiToken: "s3cret-of-the-sidecar" })
        const server = yield* scoped(
          () => ScriptedServer.start(),
          (server) => server.stop()
        )
        const began = Date.now()
        yield* expectRefusal(beside(sidecar), /^wsm: .*asks for a token: set DAPR_API_TOKEN/)
        yield* expectRefusal(beside(sidecar, { DAPR_API_TOKEN: "wrong-0815" }), /refuses the token in DAPR_API_TOKEN/)
        expect(Date.now() - began).toBeLessThan(30_000)

        const subscriber = yield* subscribe({ sidecar, topic: "t", apiToken: "s3cret-of-the-sidecar" })
        const env = beside(sidecar, { DAPR_API_TOKEN: "s3cret-of-the-sidecar" })
        const instance = yield* Effect.promise(() => Instance.start(env))
        yield* Effect.promise(() => instance.connect({ url: server.url, topic: "t" }))
        server.last.send("one")
        server.last.send("two")
        expect((yield* subscriber.received(2)).map(({ data }) => Buffer.from(data).toString())).toEqual(["one", "two"])
        expect(instance.process.output.err).not.toContain("s3cret-of-the-sidecar")
      }),
    TIMEOUT
  )

  it.scopedLive(
    "names a component that is not loaded, its setting, and those that are",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        yield* expectRefusal(
          beside(sidecar, { WSM_STATE_STORE: "elsewhere" }),
          /^wsm: WSM_STATE_STORE=elsewhere is not available: .*no state store elsewhere.*wsm-state \(state\.in-memory\)/
        )
        yield* expectRefusal(
          beside(sidecar, { WSM_PUBSUB: "elsewhere" }),
          /^wsm: WSM_PUBSUB=elsewhere is not available: .*no pub\/sub component elsewhere.*wsm-pubsub \(pubsub\.in-memory\)/
        )
        const bare = yield* startSidecar({ appId: "bare" })
        yield* expectRefusal(beside(bare), /WSM_STATE_STORE=wsm-state is not available: .*none at all/)
      }),
    TIMEOUT
  )

  it.scopedLive(
    "waits a second for a component, however long it may wait for the sidecar, and says so",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({ resources: IN_MEMORY })
        const env = beside(sidecar, { WSM_STATE_STORE: "elsewhere" })
        const process = yield* Effect.promise(() => launch(env))
        expect(yield* Effect.promise(() => process.ended)).toMatchObject({ status: 1 })
        const waiting = logOf(process).filter(({ message }) => message.startsWith("waiting for"))
        expect(waiting.map(({ message }) => message)).toEqual([
          expect.stringMatching(/, for another 1 s: .*no state store elsewhere/)
        ])
      }),
    TIMEOUT
  )

  it.scopedLive(
    "refuses a store that cannot compare and set, and says which can",
    () =>
      Effect.gen(function* () {
        const etcd = yield* freePort
        const sidecar = yield* startSidecar({ resources: [C.stateEtcd(etcd), C.pubsubInMemory()] })
        const env = beside(sidecar, { WSM_ALLOW_UNTESTED_STORE: "true" })
        yield* expectRefusal(env, /^wsm: WSM_STATE_STORE=wsm-state is not available: state\.etcd v2 .*redis/)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a start on a store", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "that has gone away is one line that names its component",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubInMemory()] })
        yield* redis.stop
        yield* expectRefusal(beside(sidecar), /^wsm: WSM_STATE_STORE=wsm-state .*answers/)
      }),
    TIMEOUT
  )
})

/** On a free port of the loopback interface. */
const listening = async (server: Server) => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return { server, port: (server.address() as AddressInfo).port }
}

/** One that has no services. */
const grpcServer = async () => {
  const server = new GrpcServer()
  const bind = promisify(server.bindAsync.bind(server))
  return { server, port: await bind("127.0.0.1:0", ServerCredentials.createInsecure()) }
}

const KEY = encodeURIComponent("websocketmanager/instances/one")
