/** The connection to the sidecar's gRPC port: what else may answer there, what interruption does to it, and its end. */
import { once } from "node:events"
import { createServer } from "node:net"
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Components from "../support/Components.js"
import { Http2Frames } from "../support/Http2Frames.js"
import { startPostgres } from "../support/Postgres.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { scoped } from "./besideSidecar.js"
import { handle, type Store, STORES } from "./stateStores.js"

/** RFC 9113, 7 */
const CANCEL = 8

const value = (n: number | string) => JSON.stringify({ v: 1, n, nonce: crypto.randomUUID() })

const until = (what: string, holds: () => boolean) =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail(what))).pipe(
    Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo("10 seconds")))
  )

/** Until it works again. */
const works = (store: Store) => Effect.retry(store.ping, Schedule.spaced("50 millis").pipe(Schedule.upTo("20 seconds")))

/** What ends a process that has no handler. */
const uncaught = Effect.acquireRelease(
  Effect.sync(() => {
    const errors: Array<unknown> = []
    const note = (error: unknown) => void errors.push(error)
    process.on("uncaughtExceptionMonitor", note)
    return { errors, note }
  }),
  ({ note }) => Effect.sync(() => void process.off("uncaughtExceptionMonitor", note))
).pipe(Effect.map(({ errors }) => errors))

/** Answers whatever comes in HTTP/1, and ends the connection or lets it be. */
const http1 = (ends: boolean) =>
  scoped(
    async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {})
        socket.on("data", () => {
          socket.write("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
          if (ends) socket.end()
        })
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return { server, port: typeof address === "object" && address !== null ? address.port : 0 }
    },
    ({ server }) => server.close()
  )

requiring("daprd")("the connection to the sidecar", () => {
  it.scopedLive("something else answers at its port: calls fail, the process lives, and they work again after it", () =>
    Effect.gen(function* () {
      const errors = yield* uncaught
      const { sidecars } = yield* STORES["in-memory"].start
      const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
      const store = yield* handle(sidecars[0], { grpcPort: proxy.port })
      yield* store.create("k", value("before"))
      for (const ends of [true, false]) {
        const other = yield* http1(ends)
        const tags = new Set<string>()
        let failures = 0
        // they begin at any moment of a connection's end
        const calls = Effect.gen(function* () {
          while (failures < 200) {
            const result = yield* Effect.either(store.get("k"))
            tags.add(Either.isRight(result) ? "ok" : result.left._tag)
            if (Either.isLeft(result)) failures++
          }
        })
        const fiber = yield* Effect.fork(
          Effect.all(
            Array.from({ length: 20 }, () => calls),
            { concurrency: "unbounded", discard: true }
          )
        )
        yield* until("calls", () => tags.has("ok"))
        yield* proxy.redirect(other.port)
        yield* Fiber.join(fiber)
        expect([...tags].toSorted()).toEqual(["StateStoreUnavailable", "ok"])
        yield* proxy.redirect(sidecars[0].grpcPort)
        yield* works(store)
        expect(Option.getOrThrow(yield* store.get("k")).value).toContain("before")
      }
      expect(errors).toEqual([])
    })
  )

  it.scopedLive("is closed with its layer", () =>
    Effect.gen(function* () {
      const { sidecars } = yield* STORES["in-memory"].start
      const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
      for (let n = 0; n < 3; n++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* (yield* handle(sidecars[0], { grpcPort: proxy.port })).ping
            expect(proxy.open).toBeGreaterThan(0)
          })
        )
        yield* until("closed", () => proxy.open === 0)
      }
    })
  )

  it.scopedLive("an interrupted call is cancelled at the sidecar, and nothing is asked after it", () =>
    Effect.gen(function* () {
      const { sidecars } = yield* STORES["in-memory"].start
      const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
      const frames = new Http2Frames()
      proxy.heard = frames.read
      const store = yield* handle(sidecars[0], { deadline: Duration.seconds(30), grpcPort: proxy.port })
      const version = yield* store.create("k", value("before"))
      const asked = frames.requests
      yield* proxy.withhold
      const calls = [
        store.get("k"),
        store.getMany(["k", "other"]),
        store.create("new", value("created")),
        store.replace("k", value("replaced"), version)
      ]
      const fiber = yield* Effect.fork(Effect.all(calls, { concurrency: "unbounded", discard: true }))
      yield* until("asked", () => frames.requests === asked + calls.length)
      expect(frames.resets.filter((code) => code === CANCEL)).toEqual([])
      yield* Fiber.interrupt(fiber)
      yield* until("cancelled", () => frames.resets.filter((code) => code === CANCEL).length === calls.length)
      yield* proxy.resume
      yield* store.ping
      expect(frames.requests).toBe(asked + calls.length + 1)
    })
  )
})

requiring("daprd", "postgres")("a write that waits in the store", () => {
  it.scopedLive("is taken back there when it is interrupted", () =>
    Effect.gen(function* () {
      const postgres = yield* startPostgres
      const sidecar = yield* startSidecar({ resources: [Components.statePostgres(postgres.connectionString)] })
      const store = yield* handle(sidecar, { deadline: Duration.seconds(30) })
      const before = value("before")
      const version = yield* store.create("k", before)
      const active = (query: string) =>
        Effect.map(postgres.query(`select count(*) from pg_stat_activity where ${query}`), Number)
      const waiting = "wait_event_type = 'Lock'"
      const holding = "query like '%pg_sleep(60)%' and pid <> pg_backend_pid() and wait_event = 'PgSleep'"
      const seen = (query: string, count: number) =>
        active(query).pipe(
          Effect.filterOrFail(
            (found) => found === count,
            (found) => `${query}: ${found}, not ${count}`
          ),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("10 seconds")))
        )
      // reads go on
      const lock = "begin; lock table wsm_state in share row exclusive mode; select pg_sleep(60)"
      yield* Effect.fork(Effect.ignore(postgres.query(lock)))
      yield* seen(holding, 1)
      const writes = [store.create("new", value("created")), store.replace("k", value("replaced"), version)]
      const fiber = yield* Effect.fork(Effect.all(writes, { concurrency: "unbounded" }))
      yield* seen(waiting, writes.length)
      yield* Fiber.interrupt(fiber)
      yield* seen(waiting, 0)
      yield* postgres.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${holding}`)
      yield* seen(holding, 0)
      yield* store.create("later", value("later"))
      const found = yield* store.getMany(["k", "new", "later"])
      expect([...found.keys()].toSorted()).toEqual(["k", "later"])
      expect(found.get("k")?.value).toBe(before)
    })
  )
})
