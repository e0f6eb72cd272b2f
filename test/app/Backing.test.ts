/** What a backing is asked for, and what of it is not needed when layers are handed in. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import * as LocalSecrets from "../../src/adapters/secrets/LocalSecrets.js"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import * as StartFailure from "../../src/app/StartFailure.js"
import { defaults } from "../../src/config/Load.js"
import { NotAvailable, StateStoreUnavailable } from "../../src/domain/Errors.js"
import { Dependencies, Health } from "../../src/manager/Health.js"

/** Nobody listens on port 1. */
const NO_SIDECAR = { backing: "dapr", daprHttpPort: 1, daprWait: Duration.millis(1) } as const
const stateStore = MemoryState.layer()
const pubSub = MemoryPubSub.layer
const secrets = LocalSecrets.layer({ dir: "", env: {} })

const built = (options: ManagerLayer.Options) =>
  Layer.build(Layer.provide(ManagerLayer.layer(options), Logger.minimumLogLevel(LogLevel.None)))
const started = (options: ManagerLayer.Options) =>
  built({ ...options, settings: { ...NO_SIDECAR, ...options.settings } })

it.scopedLive("with all three ports handed in the dapr backing needs no sidecar, and health has no line for one", () =>
  Effect.gen(function* () {
    const health = Context.get(yield* started({ stateStore, pubSub, secrets }), Health)
    expect((yield* health.report).map(({ name }) => name)).toEqual(["manager", "lease", "stateStore", "pubsub"])
  })
)

it.scopedLive("with one of them left to the backing it does", () =>
  Effect.gen(function* () {
    for (const given of [
      { pubSub, secrets },
      { stateStore, secrets },
      { stateStore, pubSub }
    ]) {
      const failure = yield* Effect.flip(started(given))
      expect(failure).toBeInstanceOf(NotAvailable)
      expect(failure.message).toMatch(/^the Dapr sidecar at 127\.0\.0\.1:1 is not available: .*WSM_DAPR_WAIT.*dapr run/)
    }
  })
)

it.scopedLive("what a program adds to the dependencies is asked for /health like store and bus", () =>
  Effect.gen(function* () {
    const added = Layer.succeed(Dependencies, [
      { name: "well", ping: Effect.void },
      { name: "ill", ping: Effect.fail({ message: "it has a cold" }) },
      { name: "silent", ping: Effect.never }
    ])
    const context = yield* Effect.flatMap(Layer.build(added), (dependencies) =>
      Effect.provide(built({ settings: { dataDir: "" } }), dependencies)
    )
    expect((yield* Context.get(context, Health).report).slice(4)).toEqual([
      { name: "well", status: "ok", detail: "answers" },
      { name: "ill", status: "degraded", detail: "it has a cold" },
      { name: "silent", status: "degraded", detail: "no answer within 1 second" }
    ])
  })
)

/** An HTTP server that answers these paths, and nothing else. */
const answering = (paths: Readonly<Record<string, readonly [number, string]>>) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const [status, body] = paths[request.url ?? ""] ?? [404, ""]
        response.writeHead(status).end(body)
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ port, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const OUTBOUND = { "/v1.0/healthz/outbound": [204, ""] } as const

it.scopedLive("a refused token is told at once, whatever the wait, and never shown", () =>
  Effect.gen(function* () {
    const { port } = yield* answering({ ...OUTBOUND, "/v1.0/metadata": [401, "invalid api token"] })
    const settings = { daprHttpPort: port, daprGrpcPort: port, daprWait: Duration.hours(1) }
    const daprApiToken = Redacted.make("s3cret")
    const { message } = yield* Effect.flip(started({ settings: { ...settings, daprApiToken } }))
    expect(message).toMatch(/it refuses the token in DAPR_API_TOKEN/)
    expect(message).not.toContain("s3cret")
    expect((yield* Effect.flip(started({ settings }))).message).toMatch(/it asks for a token: set DAPR_API_TOKEN/)
  })
)

it.scopedLive("what answers on the sidecar's port and is no sidecar is waited for, and named when time is up", () =>
  Effect.gen(function* () {
    for (const [paths, why] of [
      [{}, /it answers 404/],
      [{ ...OUTBOUND, "/v1.0/metadata": [200, "<html>"] }, /its metadata cannot be read/],
      [{ "/v1.0/healthz/outbound": [500, '{"message":"dapr is not ready"}'] }, /it answers 500 dapr is not ready/]
    ] as const) {
      const { port } = yield* answering(paths)
      const { message } = yield* Effect.flip(started({ settings: { daprHttpPort: port, daprGrpcPort: port } }))
      expect(message).toMatch(why)
      expect(message).not.toMatch(/\n/)
    }
  })
)

it("a store that does not answer at the start is named by its component, or by its folder", () => {
  const cause = Cause.fail(new StateStoreUnavailable({ reason: "connection refused" }))
  expect(StartFailure.describe({ ...defaults, backing: "dapr" }, cause)).toBe(
    "WSM_STATE_STORE=statestore is refused: it must be a state store that answers: connection refused"
  )
  expect(StartFailure.describe(defaults, cause)).toContain("WSM_DATA_DIR=.wsm")
})
