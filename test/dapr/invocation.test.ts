/** Calls of the gRPC service through the caller's own sidecar, by app id: gRPC proxying, sidecar to sidecar. */
import { join } from "node:path"
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { CallDeadline } from "../../src/ports/CallDeadline.js"
import { type Answer, detailsOf, doorLayer, makeClient, stream, unary } from "../api/grpcDoor.js"
import { built } from "../cli/runWsm.js"
import { cleanUp, Instance, until } from "../process/instanceProcess.js"
import { freePort } from "../support/Ports.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { startSidecar } from "../support/Sidecar.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"
import { beside, IN_MEMORY, scoped } from "./besideSidecar.js"

const TIMEOUT = 90_000
const APP = "websocketmanager"

/** Sidecars that find one another in a file; elsewhere it is mDNS, Consul or Kubernetes. */
const resolver = (folder: string) => `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: wsm-test }
spec:
  nameResolution:
    component: sqlite
    version: v1
    configuration: { connectionString: ${JSON.stringify(join(folder, "names.db"))} }
`

/** Our sidecar, whose application listens on `appPort`, and the caller's, with a client of it. */
const twoSidecars = (appToken?: string) =>
  Effect.gen(function* () {
    const config = resolver(yield* temporaryDirectory)
    const appPort = yield* freePort
    const ours = yield* startSidecar({
      appId: APP,
      appPort,
      config,
      resources: IN_MEMORY,
      ...(appToken !== undefined && { appToken }),
      flags: ["--enable-app-health-check", "--app-health-probe-interval", "1"]
    })
    const theirs = yield* startSidecar({ appId: "caller", config })
    const client = yield* makeClient(`127.0.0.1:${theirs.grpcPort}`)
    return { appPort, ours, theirs, client }
  })

const to = (more: Readonly<Record<string, string>> = {}): grpc.Metadata => {
  const metadata = new grpc.Metadata()
  for (const [key, value] of Object.entries({ "dapr-app-id": APP, ...more })) metadata.set(key, value)
  return metadata
}
const AUTHORIZED = { authorization: "Bearer t0ken" }
const STREAM = { "dapr-stream": "true" }

/** Its sidecar has found the application well, and the other sidecar has found it. */
const reachable = (url: string, client: grpc.Client, metadata: grpc.Metadata) =>
  Effect.promise(async () => {
    await until(async () => (await fetch(`${url}/v1.0/healthz`)).status === 204, "the application is well")
    const list = () => Effect.runPromise(Effect.isSuccess(unary(client, "List", {}, { metadata, deadlineMs: 2000 })))
    await until(list, "a call arrives", 30_000)
  })

requiring("daprd")("invocation through Dapr", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "unary calls and streams reach an instance by its app id, the authorization with them",
    () =>
      Effect.gen(function* () {
        const { appPort, client, ours } = yield* twoSidecars()
        const server = yield* scoped(
          () => ScriptedServer.start(),
          (server) => server.stop()
        )
        server.echo()
        const env = beside(ours, { WSM_GRPC_PORT: String(appPort), WSM_API_TOKEN: "t0ken" })
        const process = yield* Effect.promise(() => Instance.up(env))
        yield* Effect.promise(() =>
          until(async () => (await fetch(`${process.url}/health/ready`)).status === 200, "ready")
        )
        const metadata = to(AUTHORIZED)
        yield* reachable(ours.url, client, metadata)

        for (const wrong of [to(), to({ authorization: "Bearer other" })]) {
          const refused = yield* Effect.flip(unary(client, "List", {}, { metadata: wrong }))
          expect(refused.code).toBe(grpc.status.UNAUTHENTICATED)
        }

        const watch = stream(client, "Watch", {}, { metadata: to({ ...AUTHORIZED, ...STREAM }) })
        const watched: Array<Answer> = []
        watch.on("data", (event) => watched.push(event))
        const { connection } = yield* unary(client, "Connect", { url: server.url }, { metadata })
        expect(connection).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED" })
        // a sidecar passes a stream's headers on with its first message: there is no sooner sign that the stream stands
        yield* Effect.promise(() =>
          until(async () => {
            await Effect.runPromise(unary(client, "Reconnect", { id: connection.id }, { metadata }))
            return watched.some(({ type }) => type === "connected")
          }, "connected is watched")
        )

        const receive = stream(client, "Receive", { id: connection.id }, { metadata: to({ ...AUTHORIZED, ...STREAM }) })
        const received: Array<Answer> = []
        receive.on("data", (frame) => received.push(frame))
        yield* Effect.promise(() =>
          until(() => {
            server.last.send("is anybody there?")
            return received.length > 0
          }, "the first frame")
        )

        const message = Buffer.from('{"question":"?"}')
        const { response } = yield* unary(client, "Send", { id: connection.id, message }, { metadata })
        expect(JSON.parse(response.toString())).toMatchObject({ question: "?" })

        for (let i = 1; i <= 100; i++) server.last.send(`frame ${i}`)
        const frames = () => received.map(({ data }) => data.toString()).filter((text) => text.startsWith("frame"))
        yield* Effect.promise(() => until(() => frames().length === 100, "a hundred frames"))
        expect(frames()).toEqual(Array.from({ length: 100 }, (_, i) => `frame ${i + 1}`))

        // the error's details are those of a direct call
        const id = "0197e9a0-0000-7000-8000-000000000000"
        const missing = yield* Effect.flip(unary(client, "Get", { id }, { metadata }))
        expect(missing.code).toBe(grpc.status.NOT_FOUND)
        expect(detailsOf(missing)).toMatchObject({ info: { reason: "CONNECTION_NOT_FOUND", metadata: { id } } })

        watch.cancel()
        receive.cancel()
        yield* unary(client, "Disconnect", { id: connection.id }, { metadata })
        yield* Effect.promise(() => server.until(() => server.connections() === 0))
      }),
    TIMEOUT
  )

  it.scopedLive(
    "the handler sees the caller's deadline, and is interrupted when that comes or the caller goes",
    () =>
      Effect.gen(function* () {
        const { appPort, client, ours } = yield* twoSidecars()
        const seen: Array<number> = []
        const opened = yield* Deferred.make<void>()
        const interrupted = { send: yield* Deferred.make<void>(), watch: yield* Deferred.make<void>() }
        yield* Layer.build(
          doorLayer(
            {
              list: () => Effect.succeed({ connections: [], nextPageToken: "" }),
              send: () =>
                Effect.flatMap(CallDeadline, (at) => {
                  seen.push(at - Date.now())
                  return Effect.never
                }).pipe(Effect.onInterrupt(() => Deferred.succeed(interrupted.send, undefined))),
              watch: () =>
                Effect.acquireRelease(Effect.as(Deferred.succeed(opened, undefined), Stream.never), () =>
                  Deferred.succeed(interrupted.watch, undefined)
                )
            },
            { settings: { grpcPort: appPort } }
          )
        )
        yield* reachable(ours.url, client, to())

        const request = { id: "0197e9a0-0000-7000-8000-000000000000", message: Buffer.from("{}") }
        const failed = yield* Effect.flip(unary(client, "Send", request, { metadata: to(), deadlineMs: 2000 }))
        // three clocks ring for one deadline: where a sidecar's is first, it cancels what it passes on
        expect([grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED]).toContain(failed.code)
        expect(seen).toEqual([expect.any(Number)])
        expect(seen[0]).toBeGreaterThan(500)
        expect(seen[0]).toBeLessThan(2100)
        yield* Deferred.await(interrupted.send)

        const watch = stream(client, "Watch", {}, { metadata: to(STREAM) })
        yield* Deferred.await(opened)
        watch.cancel()
        yield* Deferred.await(interrupted.watch)
      }),
    TIMEOUT
  )

  it.scopedLive(
    "with APP_API_TOKEN a call through our sidecar needs no other token, and one past it is refused",
    () =>
      Effect.gen(function* () {
        const { appPort, client, ours } = yield* twoSidecars("app-t0ken")
        const env = { WSM_GRPC_PORT: String(appPort), APP_API_TOKEN: "app-t0ken", WSM_API_TOKEN: "t0ken" }
        yield* Effect.promise(() => Instance.up(beside(ours, env)))
        yield* reachable(ours.url, client, to())
        const direct = yield* makeClient(`127.0.0.1:${appPort}`)
        const refused = (metadata: grpc.Metadata) =>
          Effect.map(Effect.flip(unary(direct, "List", {}, { metadata })), ({ code }) =>
            expect(code).toBe(grpc.status.UNAUTHENTICATED)
          )
        yield* refused(to())
        yield* refused(to({ "dapr-api-token": "t0ken" }))
        yield* refused(to({ authorization: "Bearer app-t0ken" }))
        yield* unary(direct, "List", {}, { metadata: to(AUTHORIZED) })
        yield* unary(direct, "List", {}, { metadata: to({ "dapr-api-token": "app-t0ken" }) })
      }),
    TIMEOUT
  )
})
