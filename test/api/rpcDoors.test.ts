/** The RPC group through real sockets, by the typed client, over both transports. */
import { describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { expect } from "vitest"
import type { ErrorTag } from "../../src/domain/Errors.js"
import { client, start } from "../support/FakeDoors.js"
import { connection, SAMPLE_ERRORS } from "../support/FakeManager.js"

const MIB = 1024 * 1024

/** Waits, in real time, until it holds; the test's own timeout is the limit. */
const until = (holds: () => boolean) =>
  Effect.repeat(Effect.sync(holds), { until: (b) => b, schedule: Schedule.spaced("5 millis") })

/** The longest that the event loop stood still, in milliseconds: of the best of three rounds, since the machine is shared. */
const lagOf = <E>(round: Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    let best = Infinity
    for (let i = 0; i < 3; i++) {
      const lag = monitorEventLoopDelay({ resolution: 5 })
      lag.enable()
      yield* round
      lag.disable()
      best = Math.min(best, lag.max / 1e6)
    }
    return best
  })

for (const transport of ["ws", "http"] as const) {
  describe(`RPC over ${transport}`, () => {
    it.scopedLive("every error arrives with its tag and its fields", () =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const manager = yield* client(transport, url)
        for (const tag of Object.keys(SAMPLE_ERRORS) as Array<ErrorTag>) {
          const error = yield* Effect.flip(manager.Get({ id: `error:${tag}` }))
          expect(error._tag).toBe(tag)
          expect({ ...error }).toEqual({ ...SAMPLE_ERRORS[tag] })
          expect(error.message).toBe(SAMPLE_ERRORS[tag].message)
        }
      })
    )

    it.scopedLive("every unary method is there, with text, times and numbers as they were", () =>
      Effect.gen(function* () {
        const { log, url } = yield* start()
        const manager = yield* client(transport, url)
        const request = {
          url: "wss://feed.example/übersicht",
          tags: { 言語: "日本語 🚀" },
          handshake: [{ sendText: Buffer.from("grüße") }, { expect: { jsonPath: "$.ok" } }],
          reconnect: { factor: 1.5, giveUpCodes: [4000] }
        }
        const made = yield* manager.Connect(request)
        expect(made.connection.url).toBe("wss://feed.example/übersicht")
        expect(Buffer.from((log.connects[0] as typeof request).handshake[0]!.sendText!).toString()).toBe("grüße")
        expect((log.connects[0] as typeof request).tags).toEqual({ 言語: "日本語 🚀" })

        expect((yield* manager.Get({ id: "a" })).connection).toEqual(connection("a"))
        expect((yield* manager.Reconnect({ id: "a" })).connection.id).toBe("a")
        expect((yield* manager.StartPublish({ id: "a", topic: "t" })).connection.topic).toBe("t")
        expect((yield* manager.StopPublish({ id: "a" })).connection.topic).toBe("")
        expect((yield* manager.List({ pageSize: 250, pageToken: "p" })).connections).toHaveLength(250)
        expect(yield* manager.SendRaw({ id: "a", message: Buffer.alloc(0) })).toEqual({})
        yield* manager.SetTags({ id: "a", tags: { k: "v", ключ: "значение" } })
        yield* manager.SetTag({ id: "a", key: "k", value: "" })
        expect(yield* manager.GetTag({ id: "a", key: "ключ" })).toEqual({ value: "значение" })
        expect((yield* manager.GetTag({ id: "a", key: "none" })).value).toBeUndefined()
        yield* manager.DeleteTag({ id: "a", key: "ключ" })
        expect(yield* manager.GetTags({ id: "a" })).toEqual({ tags: { k: "" } })
        expect((yield* manager.ListInstances({})).instances[0]!.startedAt).toEqual(new Date(1_700_000_000_000))
        expect((yield* manager.Migrate({ id: "a" })).connection.id).toBe("a")
        expect(yield* manager.Drain({})).toEqual({ migrated: 0, closed: 1, abandoned: 2 })
        expect((yield* manager.Rebalance({ dryRun: true })).connections).toEqual({ fake: 1 })
        expect(yield* manager.Disconnect({ id: "a", code: 1000, reason: "bye" })).toEqual({})
      })
    )

    it.scopedLive("messages of 16 MiB pass byte for byte, and the event loop lags under 500 ms", () =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const manager = yield* client(transport, url)
        const message = Buffer.alloc(16 * MIB)
        for (let i = 0; i < message.length; i += 997) message[i] = i % 256
        yield* manager.Send({ id: "warm", message })
        const round = Effect.forEach([1, 2], () => manager.Send({ id: "a", message }), { concurrency: 2 })
        expect(
          yield* lagOf(
            Effect.map(round, (answers) => {
              for (const { response } of answers) expect(message.equals(response)).toBe(true)
            })
          )
        ).toBeLessThan(500)
      })
    )

    it.scopedLive("a call that is given up interrupts its handler", () =>
      Effect.gen(function* () {
        const { log, metrics, url } = yield* start()
        const manager = yield* client(transport, url)
        yield* manager.Get({ id: "a" })
        const outcome = yield* manager
          .Send({ id: "hang", message: Buffer.from("x") })
          .pipe(Effect.timeoutOption("100 millis"))
        expect(outcome._tag).toBe("None")
        yield* until(() => log.interrupted.includes("hang"))
        yield* until(() => metrics.rpcSeconds(`rpc-${transport}`, "Send", "Cancelled").count === 1)
      })
    )

    it.scopedLive("a defect ends its own call alone, and its text stays inside", () =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const manager = yield* client(transport, url)
        const other = yield* Effect.fork(manager.Send({ id: "hang", message: Buffer.from("x") }))
        const exit = yield* Effect.exit(manager.Get({ id: "defect" }))
        expect(Exit.isFailure(exit)).toBe(true)
        expect(JSON.stringify(exit)).not.toContain("a secret in a defect")
        expect((yield* manager.Get({ id: "a" })).connection.id).toBe("a")
        expect(other.unsafePoll()).toBeNull()
        yield* Fiber.interrupt(other)
      })
    )

    it.scopedLive("a request that cannot be written is refused before it is sent, by its field", () =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const manager = yield* client(transport, url)
        const wrong = JSON.parse('{"url":"ws://x","reconnect":{"giveUpCodes":["soon"]}}')
        const error = yield* Effect.flip(manager.Connect(wrong))
        expect(error).toMatchObject({
          _tag: "InvalidRequest",
          field: "reconnect.giveUpCodes.0",
          reason: "expected number"
        })
      })
    )

    it.scopedLive("each call is counted by door, method and outcome", () =>
      Effect.gen(function* () {
        const { metrics, url } = yield* start()
        const manager = yield* client(transport, url)
        yield* manager.Get({ id: "a" })
        yield* Effect.flip(manager.Get({ id: "error:ConnectionNotFound" }))
        yield* Effect.exit(manager.Get({ id: "defect" }))
        const door = `rpc-${transport}`
        expect(metrics.rpcSeconds(door, "Get", "OK").count).toBe(1)
        expect(metrics.rpcSeconds(door, "Get", "ConnectionNotFound").count).toBe(1)
        expect(metrics.rpcSeconds(door, "Get", "Defect").count).toBe(1)
      })
    )

    it.scopedLive("without a manager a call fails soon, saying what to do", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { url } = yield* Scope.extend(start(), scope)
        yield* Scope.close(scope, Exit.void)
        const manager = yield* client(transport, url)
        const [took, error] = yield* Effect.timed(Effect.flip(manager.Get({ id: "a" })))
        expect(error._tag).toBe("RpcClientError")
        expect(error.message).toContain(`no manager at ${url} (ECONNREFUSED): start one with npm start`)
        expect(Duration.toMillis(took)).toBeLessThan(1000)
      })
    )

    it.scopedLive("a wrong token is Unauthenticated, the right one passes", () =>
      Effect.gen(function* () {
        const { url } = yield* start({ settings: { apiToken: Redacted.make("s3cret") } })
        const wrong = yield* client(transport, url, "s3cre")
        expect((yield* Effect.flip(wrong.Get({ id: "a" })))._tag).toBe("Unauthenticated")
        const none = yield* client(transport, url)
        expect((yield* Effect.flip(none.Get({ id: "a" })))._tag).toBe("Unauthenticated")
        const right = yield* client(transport, url, "s3cret")
        expect((yield* right.Get({ id: "a" })).connection.id).toBe("a")
      })
    )
  })
}

describe("RPC streams over ws", () => {
  it.scopedLive("a stream answers at once, before its first item", () =>
    Effect.gen(function* () {
      const { log, url } = yield* start()
      const manager = yield* client("ws", url)
      for (const method of ["Receive", "Subscribe", "Watch"] as const) {
        yield* manager.open(method, { id: "quiet", topic: "quiet" }).pipe(Effect.timeout("2 seconds"))
      }
      expect(log.open).toBe(3)
    })
  )

  it.scopedLive("frames arrive whole and in order, with what was missed", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const manager = yield* client("ws", url)
      const items = Chunk.toReadonlyArray(yield* Stream.runCollect(manager.Receive({ id: "frames:5000:300:64" })))
      expect(items.map((f) => f.sequence)).toEqual(Array.from({ length: 5000 }, (_, i) => i + 1))
      expect(items.every((f) => f.data.length === 300 && f.data[0] === f.sequence % 251)).toBe(true)
      expect(items[1]!.missed).toBe(7)
      expect(items[0]!.receivedAt).toEqual(new Date(1_700_000_000_001))
      const events = yield* Stream.runCollect(manager.Subscribe({ topic: "frames:3:10:1" }))
      expect(Chunk.toReadonlyArray(events).map((e) => e.event.length)).toEqual([10, 10, 10])
      const watched = yield* Stream.runCollect(manager.Watch({ ids: ["x", "y"] }))
      expect(Chunk.toReadonlyArray(watched).map((e) => e.connectionId)).toEqual(["x", "y"])
    })
  )

  it.scopedLive("a slow reader holds the stream back", () =>
    Effect.gen(function* () {
      const { log, url } = yield* start()
      const manager = yield* client("ws", url)
      yield* manager.Receive({ id: "frames:1000000:100:64" }).pipe(
        Stream.take(30),
        Stream.tap(() => Effect.sleep("2 millis")),
        Stream.runDrain
      )
      expect(log.produced).toBeLessThan(1000)
      yield* until(() => log.open === 0)
    })
  )

  it.scopedLive("a stream that is no longer read is closed, and so is one whose client went away", () =>
    Effect.gen(function* () {
      const { log, quota, url } = yield* start()
      const scope = yield* Scope.make()
      const manager = yield* Scope.extend(client("ws", url), scope)
      const reader = yield* Effect.fork(Stream.runDrain(manager.Receive({ id: "quiet" })))
      const other = yield* Effect.fork(Stream.runDrain(manager.Receive({ id: "still" })))
      yield* until(() => log.open === 2)
      yield* Fiber.interrupt(reader)
      yield* until(() => log.open === 1)
      expect(log.interrupted).toEqual(["stream:quiet"])
      yield* Scope.close(scope, Exit.void)
      yield* until(() => log.open === 0)
      expect(quota.open()).toBe(0)
      yield* Fiber.interrupt(other)
    })
  )

  it.scopedLive("errors come through before the stream, and within it", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const manager = yield* client("ws", url)
      const early = yield* Effect.flip(manager.open("Receive", { id: "error:ConnectionNotFound" }))
      expect(early).toMatchObject({ _tag: "ConnectionNotFound", id: "gone" })
      const items = yield* manager.Receive({ id: "late:OwnerUnreachable" }).pipe(Stream.either, Stream.runCollect)
      const [first, last] = Chunk.toReadonlyArray(items)
      expect(first !== undefined && Either.isRight(first)).toBe(true)
      expect(last !== undefined && Either.isLeft(last) && last.left).toMatchObject({
        _tag: "OwnerUnreachable",
        owner: "there"
      })
      const bug = yield* Effect.exit(Stream.runDrain(manager.Receive({ id: "bug" })))
      expect(Exit.isFailure(bug)).toBe(true)
      expect(JSON.stringify(bug)).not.toContain("a secret in a defect")
      expect((yield* manager.Get({ id: "a" })).connection.id).toBe("a")
    })
  )

  it.scopedLive("one stream more than the quota is QuotaExceeded, and a closed one makes room", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ quota: 2 })
      const manager = yield* client("ws", url)
      const scope = yield* Scope.make()
      yield* Scope.extend(manager.open("Receive", { id: "quiet" }), scope)
      yield* manager.open("Watch", {})
      const error = yield* Effect.flip(manager.open("Receive", { id: "quiet" }))
      expect(error).toMatchObject({ _tag: "QuotaExceeded", quota: "streams" })
      yield* Scope.close(scope, Exit.void)
      yield* manager.open("Receive", { id: "quiet" }).pipe(Effect.retry(Schedule.spaced("5 millis")))
    })
  )

  it.scopedLive("frames of 16 MiB stream through, and the event loop lags under 500 ms", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const manager = yield* client("ws", url)
      const round = manager.Receive({ id: `frames:3:${16 * MIB}:1` }).pipe(
        Stream.map((f) => f.data.length),
        Stream.runCollect,
        Effect.map((sizes) => expect(Chunk.toReadonlyArray(sizes)).toEqual([16 * MIB, 16 * MIB, 16 * MIB]))
      )
      expect(yield* lagOf(round)).toBeLessThan(500)
    })
  )

  it.scopedLive("over HTTP a stream is NotAvailable", () =>
    Effect.gen(function* () {
      const { log, url } = yield* start()
      const manager = yield* client("http", url)
      const error = yield* Effect.flip(Stream.runDrain(manager.Receive({ id: "quiet" })))
      expect(error).toMatchObject({ _tag: "NotAvailable", feature: "Receive" })
      expect((yield* Effect.flip(manager.open("Watch", {})))._tag).toBe("NotAvailable")
      expect(log.open).toBe(0)
    })
  )
})

describe("stopping", () => {
  it.scopedLive("with calls and streams under way takes less than a second, and tells them", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { log, url } = yield* Scope.extend(start(), scope)
      const manager = yield* client("ws", url)
      const call = yield* Effect.fork(Effect.flip(manager.Send({ id: "hang", message: Buffer.from("x") })))
      const stream = yield* Effect.fork(Effect.flip(Stream.runDrain(manager.Receive({ id: "quiet" }))))
      yield* until(() => log.open === 1 && log.hanging === 1)
      const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
      expect(Duration.toMillis(took)).toBeLessThan(1000)
      expect((yield* Fiber.join(call))._tag).toBe("RpcClientError")
      expect((yield* Fiber.join(stream))._tag).toBe("RpcClientError")
      expect(log.open).toBe(0)
      expect(log.interrupted).toContain("hang")
    })
  )

  it.scopedLive("a client finds a manager that came back on the same port", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { listener, url } = yield* Scope.extend(start(), scope)
      const manager = yield* client("ws", url)
      yield* manager.Get({ id: "a" })
      yield* Scope.close(scope, Exit.void)
      expect((yield* Effect.flip(manager.Get({ id: "a" })))._tag).toBe("RpcClientError")
      yield* start({ settings: { httpPort: listener.port } })
      const again = yield* manager.Get({ id: "a" }).pipe(Effect.retry(Schedule.spaced("20 millis")))
      expect(again.connection.id).toBe("a")
    })
  )
})
