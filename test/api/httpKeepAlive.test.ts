/** The self keep-alive loop, its pauses under the test clock, its calls to a real server. */
import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { expect } from "vitest"
import * as KeepAliveLoop from "../../src/api/http/KeepAliveLoop.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { Settings } from "../../src/config/Settings.js"
import { settings } from "../support/FakeDoors.js"

/** A server that counts its requests, on the port or a free one. */
const serve = (status: () => number, port = 0) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const state = { calls: 0, port, close: () => closed(http) }
      const http = createServer((_request, response) => {
        state.calls += 1
        response.writeHead(status(), { connection: "close" }).end()
      })
      http.listen(port, "127.0.0.1")
      await once(http, "listening")
      state.port = (http.address() as AddressInfo).port
      return state
    }),
    ({ close }) => close()
  )
const closed = (http: Server) =>
  Effect.async<void>((resume) => {
    if (!http.listening) return resume(Effect.void)
    http.close(() => resume(Effect.void))
    http.closeAllConnections()
  })

const loop = (changes: Parameters<typeof settings>[0]) =>
  Layer.build(
    Layer.provide(
      KeepAliveLoop.layer,
      Layer.merge(Layer.succeed(Settings, settings(changes)), Layer.provide(Essentials.layer, Metrics.layer))
    )
  )
const minutely = { keepaliveMin: Duration.seconds(60), keepaliveMax: Duration.seconds(60) }

const bounds = { keepaliveMin: Duration.seconds(11), keepaliveMax: Duration.seconds(60) }

const turn = Effect.promise(() => new Promise((done) => setImmediate(done)))
/** Until the loop pauses, its call ended, well or not: the limit of a call is 10 seconds, a pause is longer. */
const asleep = Effect.repeat(Effect.zipRight(turn, Effect.zip(TestClock.sleeps(), Clock.currentTimeMillis)), {
  until: ([sleeps, now]) => Array.from(sleeps).some((at) => at > now + 10_000)
})
const aMinute = Effect.zipRight(Effect.zipRight(asleep, TestClock.adjust("60 seconds")), asleep)

describe("the self keep-alive loop", () => {
  it.scoped("calls first after a pause between the two bounds", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => 200)
      yield* loop({ keepaliveUrl: `http://127.0.0.1:${server.port}/ping`, ...bounds })
      yield* asleep
      const [pause] = Array.from(yield* TestClock.sleeps())
      expect(pause).toBeGreaterThanOrEqual(11_000)
      expect(pause).toBeLessThanOrEqual(60_000)
      yield* TestClock.adjust(Duration.millis(pause! - 1))
      expect(server.calls).toBe(0)
      yield* TestClock.adjust("1 millis")
      yield* asleep
      expect(server.calls).toBe(1)
    })
  )

  it.scoped("goes on after an answer that is a failure", () =>
    Effect.gen(function* () {
      const server = yield* serve(() => 500)
      yield* loop({ keepaliveUrl: `http://127.0.0.1:${server.port}/`, ...minutely })
      for (const calls of [1, 2, 3]) {
        yield* aMinute
        expect(server.calls).toBe(calls)
      }
    })
  )

  it.scoped("goes on when nobody answered at the URL", () =>
    Effect.gen(function* () {
      const before = yield* serve(() => 200)
      yield* before.close()
      yield* loop({ keepaliveUrl: `http://127.0.0.1:${before.port}/`, ...minutely })
      yield* aMinute
      const after = yield* serve(() => 200, before.port)
      yield* aMinute
      expect(after.calls).toBe(1)
    })
  )

  it.scoped("is off without a URL", () =>
    Effect.gen(function* () {
      yield* loop({ keepaliveUrl: "" })
      yield* turn
      expect(Array.from(yield* TestClock.sleeps())).toHaveLength(0)
    })
  )
})
