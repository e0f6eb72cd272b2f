/** A manager and a sidecar that do not fit: at the start, and when the sidecar comes back as another. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import { Health } from "../../src/manager/Health.js"
import * as C from "../support/Components.js"
import { startMemcached } from "../support/Memcached.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { type Sidecar, startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { eventually, expectSocketsKept, flood, judge, refusal, sentBy, startManager } from "./judgedFeeds.js"

const TIMEOUT = 300_000

requiring("daprd", "memcached")("the layer of a whole manager", () => {
  it.scopedLive(
    "fails with one sentence that names the setting, for a store without etags, a wrong name, a wrong token",
    () =>
      Effect.gen(function* () {
        const sidecar = yield* startSidecar({
          apiToken: "right",
          resources: [C.stateMemcached(yield* startMemcached), C.stateInMemory({ name: "good" }), C.pubsubInMemory()]
        })
        const failure = (settings: Readonly<Record<string, unknown>>) =>
          Layer.build(
            ManagerLayer.layer({
              settings: {
                backing: "dapr",
                stateStore: "good",
                pubsub: C.PUBSUB,
                daprHttpPort: sidecar.httpPort,
                daprGrpcPort: sidecar.grpcPort,
                daprApiToken: Redacted.make("right"),
                ...settings
              }
            })
          ).pipe(
            Logger.withMinimumLogLevel(LogLevel.None),
            Effect.flip,
            Effect.map((error) => `${error._tag}: ${error.message}`)
          )
        expect(yield* failure({ stateStore: C.STATE })).toMatch(
          /^NotAvailable: WSM_STATE_STORE=wsm-state .*state\.memcached.*no versions to compare.*state\.redis/
        )
        expect(yield* failure({ stateStore: "typo" })).toMatch(/^NotAvailable: WSM_STATE_STORE=typo .*good \(state/)
        expect(yield* failure({ pubsub: "typo" })).toMatch(/^NotAvailable: WSM_PUBSUB=typo .*wsm-pubsub \(pubsub/)
        expect(yield* failure({ daprApiToken: Redacted.make("wr0ng") })).toMatch(/^NotAvailable: .*DAPR_API_TOKEN/)
        expect(yield* failure({ daprApiToken: undefined })).toMatch(/^NotAvailable: .*set DAPR_API_TOKEN/)
      }),
    TIMEOUT
  )
})

requiring("daprd", "redis")("a sidecar that comes back", () => {
  it.scopedLive(
    "with another token, without our components, or without the publish API, costs no socket and no frame; it is named until it is mended",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis()
        const resources = [C.stateRedis(redis.port), C.pubsubRedis(redis.port)]
        const right = yield* startSidecar({ resources, apiToken: "right" })
        const turned = yield* startSidecar({ resources, apiToken: "an0ther" })
        const renamed = yield* startSidecar({
          apiToken: "right",
          resources: [
            C.stateRedis(redis.port, { name: "renamed-state" }),
            C.pubsubRedis(redis.port, { name: "renamed-pubsub" })
          ]
        })
        const ALLOWED = ["state", "secrets", "metadata", "healthz"].map((name) => ({ name, version: "v1" }))
        const locked = yield* startSidecar({
          resources,
          apiToken: "right",
          config: C.configuration({
            api: {
              allowed: ALLOWED.flatMap((api) => [
                { ...api, protocol: "http" },
                { ...api, protocol: "grpc" }
              ])
            }
          })
        })
        const http = yield* StallingProxy.start(right.httpPort)
        const grpc = yield* StallingProxy.start(right.grpcPort)
        const become = (sidecar: Sidecar) =>
          Effect.all([http.redirect(sidecar.httpPort), grpc.redirect(sidecar.grpcPort)])
        const { log, manager, metric, open, server } = yield* startManager(
          { httpPort: http.port, grpcPort: grpc.port },
          { daprApiToken: Redacted.make("right") }
        )
        const { service } = manager
        const feeds = yield* Effect.forEach(["a", "a", "b"], (topic) => open({ topic, buffer: { maxFrames: 20_000 } }))
        const sending = yield* flood(feeds.map((feed) => [feed, 50] as const))
        const published = () => metric("frames_published_total")
        yield* eventually("frames are published", () => published() > 300)
        const openings = server.openings.length

        for (const [sidecar, named] of [
          [turned, { stateStore: /DAPR_API_TOKEN/, pubsub: /DAPR_API_TOKEN/ }],
          [renamed, { stateStore: /wsm-state/, pubsub: /WSM_PUBSUB/ }],
          [locked, { pubsub: /page not found.*spec\.api\.allowed.*DAPR_HTTP_PORT/ }]
        ] as const) {
          const failed = metric("publish_seconds", { outcome: "failed" })
          yield* become(sidecar)
          yield* eventually("publishing fails", () => metric("publish_seconds", { outcome: "failed" }) > failed + 3)
          const away = published()
          const waiting = metric("buffer_frames")
          const since = Date.now()
          if ("stateStore" in named) {
            const connect = yield* refusal(manager, service.connect({ url: server.url, topic: "never" }))
            expect(connect.tag).toBe("StateStoreUnavailable")
            expect(connect.millis).toBeLessThan(9000)
          }
          yield* eventually("it lasts longer than the lease", () => Date.now() - since > 4500)
          expect(published()).toBe(away)
          expect(metric("buffer_frames")).toBeGreaterThan(waiting + 300)
          const health = yield* Effect.promise(() => manager.run(Health))
          expect(health.ready()).toBe(true)
          const lines = yield* health.report
          const degraded = lines.filter(({ status }) => status === "degraded")
          expect(degraded.map(({ name }) => name)).toEqual(Object.keys(named))
          for (const [i, pattern] of Object.values(named).entries()) expect(degraded[i]!.detail).toMatch(pattern)

          yield* become(right)
          yield* eventually("frames go on", () => published() > away + 500)
          yield* eventually("all is well again", async () =>
            (await manager.run(health.report)).every(({ status }) => status === "ok")
          )
        }
        yield* sending.stop
        expect(yield* judge(feeds, redis.port)).toEqual({ taken: sentBy(feeds), missing: 0 })
        expectSocketsKept(feeds)
        expect(server.openings).toHaveLength(openings)
        expect(metric("frames_dropped_total")).toBe(0)
        expect(manager.events.filter(({ type }) => type === "gap" || type === "claimed")).toEqual([])
        const said = log.map(({ text }) => text).join("\n")
        expect(said).toContain("DAPR_API_TOKEN is not the token that the sidecar asks for")
        for (const token of ["right", "an0ther"]) expect(said).not.toContain(token)
      }),
    TIMEOUT
  )
})
