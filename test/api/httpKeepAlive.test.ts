/** The self keep-alive loop, its pauses under the test clock, its calls to a real server. */
import { describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect } from "vitest"
import * as KeepAliveLoop from "../../src/api/http/KeepAliveLoop.js"
import { Settings } from "../../src/config/Settings.js"
import { settings } from "../support/FakeDoors.js"

/** Counts its requests; `next` resolves with the next one. */
const server = Effect.acquireRelease(
  Effect.async<{ url: string; calls: () => number; status: (n: number) => void; next: () => Promise<void> }>(
    (resume) => {
      let calls = 0
      let status = 200
      let told = () => {}
      const http = createServer((_request, response) => {
        calls += 1
        response.writeHead(status).end()
        response.on("close", () => told())
      })
      http.listen(0, "127.0.0.1", () => {
        const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/ping`
        const next = () => new Promise<void>((done) => (told = done))
        resume(
          Effect.succeed(
            Object.assign({ url, calls: () => calls, status: (n: number) => (status = n), next }, { http })
          )
        )
      })
    }
  ),
  (s) => Effect.sync(() => (s as unknown as { http: ReturnType<typeof createServer> }).http.closeAllConnections())
)
const loop = (changes: Parameters<typeof settings>[0]) =>
  Layer.build(Layer.provide(KeepAliveLoop.layer, Layer.succeed(Settings, settings(changes))))

describe("the self keep-alive loop", () => {
  it.scoped("calls first after a pause between the two bounds", () =>
    Effect.gen(function* () {
      const { calls, next, url } = yield* server
      yield* loop({ keepaliveUrl: url, keepaliveMin: Duration.seconds(10), keepaliveMax: Duration.seconds(60) })
      yield* TestClock.adjust("9999 millis")
      expect(calls()).toBe(0)
      const called = next()
      yield* TestClock.adjust("50001 millis")
      yield* Effect.promise(() => called)
      expect(calls()).toBeGreaterThanOrEqual(1)
    })
  )

  it.scoped("goes on after an answer that is a failure", () =>
    Effect.gen(function* () {
      const { calls, next, status, url } = yield* server
      yield* loop({ keepaliveUrl: url, keepaliveMin: Duration.seconds(60), keepaliveMax: Duration.seconds(60) })
      for (let turn = 1; turn <= 4; turn++) {
        status(turn === 2 ? 500 : 200)
        const called = next()
        yield* TestClock.adjust("60 seconds")
        yield* Effect.promise(() => called)
        expect(calls()).toBe(turn)
        yield* settled
      }
    })
  )

  it.scoped("goes on when nobody answers at the URL", () =>
    Effect.gen(function* () {
      const { calls, next, url } = yield* server
      const dead = yield* Effect.fork(loop({ keepaliveUrl: "http://127.0.0.1:1/" }))
      yield* Fiber.join(dead)
      yield* TestClock.adjust("10 minutes")
      const called = next()
      yield* loop({ keepaliveUrl: url })
      yield* TestClock.adjust("60 seconds")
      yield* Effect.promise(() => called)
      expect(calls()).toBe(1)
    })
  )

  it.scoped("is off without a URL", () =>
    Effect.gen(function* () {
      yield* loop({ keepaliveUrl: "" })
      expect(yield* TestClock.sleeps()).toHaveLength(0)
    })
  )
})

/** Waits until the loop sleeps again. */
const settled = Effect.repeat(
  Effect.zipRight(
    Effect.promise(() => new Promise((done) => setImmediate(done))),
    TestClock.sleeps()
  ),
  { until: (sleeps) => Array.from(sleeps).length > 0 }
)
