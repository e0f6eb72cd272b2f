/** What callers have on its way to an instance is bounded, one by one and together; who asks for little goes on. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Packr } from "msgpackr"
import { expect } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import { Intake } from "../../src/api/rpc/Intake.js"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { CALLER } from "../../src/domain/Limits.js"
import { answers } from "../../src/rpc/Serialization.js"
import { start } from "../support/FakeDoors.js"

const MIB = 1024 * 1024
const packr = new Packr({ useRecords: false })

const dial = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`)
      const got: Array<any> = []
      ws.on("message", (data: Buffer) => got.push(...answers.unsafeMake().decode(data)))
      ws.on("error", () => {})
      await once(ws, "open")
      return { ws, got }
    }),
    ({ ws }) => Effect.sync(() => ws.terminate())
  )
const packed = (id: number, request: { readonly tag: string; readonly payload: object }) =>
  packr.pack({ _tag: "Request", id: String(id), headers: [], ...request })
const send = (ws: WebSocket, id: number, request: { readonly tag: string; readonly payload: object }) =>
  ws.send(packed(id, request))
const hanging = (bytes: number) => ({ tag: "Send", payload: { id: "hang", message: Buffer.alloc(bytes) } })
const GET = { tag: "Get", payload: { id: "a" } }

/** A door, and a client of it. */
const withClient = Effect.gen(function* () {
  const door = yield* start()
  return { ...door, ...(yield* dial(door.url)) }
})
/** A door, and a client whose one request, 1, hangs with ten megabytes. */
const withOneHanging = Effect.tap(withClient, ({ log, quota, ws }) =>
  Effect.gen(function* () {
    send(ws, 1, hanging(10 * MIB))
    yield* until(() => log.hanging === 1)
    expect(quota.requests.used).toBeGreaterThan(9 * MIB)
  })
)

const until = (holds: () => boolean) =>
  Effect.repeat(Effect.sync(holds), { until: (b) => b, schedule: Schedule.spaced("10 millis") }).pipe(
    Effect.timeout("50 seconds")
  )

describe("requests on their way", () => {
  it.scopedLive(
    "of one client: what does not fit waits in its socket, until one is answered or given up",
    () =>
      Effect.gen(function* () {
        const { log, metrics, quota, url, ws } = yield* withClient
        for (let i = 0; i < 8; i++) send(ws, i, hanging(16 * MIB))
        yield* until(() => quota.requests.used > 48 * MIB)
        // another goes on meanwhile
        const other = yield* dial(url)
        for (let i = 0; i < 50; i++) {
          send(other.ws, i, GET)
          yield* until(() => other.got.length === i + 1)
        }
        expect(log.hanging).toBe(4)
        const kept = metrics.collect().find(({ name }) => name === "websocketmanager_kept_bytes")!.samples
        const requests = kept.find(({ labels }) => labels[0]![1] === "requests")!
        expect(requests.value).toBe(quota.requests.used)
        expect(quota.requests.used).toBeLessThanOrEqual(CALLER.REQUEST_BYTES)
        ws.terminate()
        yield* until(() => quota.requests.used === 0)
      }),
    60_000
  )

  it.scopedLive(
    "are given back when they are answered, refused, or interrupted",
    () =>
      Effect.gen(function* () {
        const { got, quota, ws } = yield* withOneHanging
        ws.send(packr.pack({ _tag: "Interrupt", requestId: "1" }))
        yield* until(() => quota.requests.used === 0)
        send(ws, 2, { tag: "Send", payload: { id: "a", message: Buffer.alloc(16 * MIB) } })
        send(ws, 3, { tag: "Send", payload: { id: "error:SendTimeout", message: Buffer.alloc(16 * MIB) } })
        send(ws, 4, { tag: "Nothing", payload: { message: Buffer.alloc(16 * MIB) } })
        yield* until(() => got.filter(({ _tag }) => _tag === "Exit").length === 4)
        yield* until(() => quota.requests.used === 0)
      }),
    60_000
  )

  it.scopedLive(
    "hold what they take, whatever comes under the same id: that is refused",
    () =>
      Effect.gen(function* () {
        const { got, log, quota, ws } = yield* withOneHanging
        const { used } = quota.requests
        send(ws, 1, hanging(10 * MIB))
        send(ws, 1, GET)
        send(ws, 1, { tag: "Nothing", payload: {} })
        send(ws, 1, { tag: "Send", payload: { id: 7 } })
        yield* until(() => got.length === 4)
        expect(got.map(({ _tag }) => _tag)).toEqual(["Defect", "Defect", "Exit", "Exit"])
        expect(log.hanging).toBe(1)
        expect(quota.requests.used).toBeGreaterThan(9 * MIB)
        expect(quota.requests.used).toBeLessThan(used + MIB)
        ws.send(packr.pack({ _tag: "Interrupt", requestId: "1" }))
        yield* until(() => quota.requests.used === 0)
        send(ws, 1, GET)
        yield* until(() => got.length === 6)
      }),
    60_000
  )

  it.scopedLive(
    "of a client that has gone take nothing",
    () =>
      Effect.gen(function* () {
        const server = yield* Effect.acquireRelease(
          Effect.promise(async () => {
            const made = new WebSocketServer({ host: "127.0.0.1", port: 0 })
            await once(made, "listening")
            return made
          }),
          (made) => Effect.sync(() => made.close())
        )
        const all = new ByteBudget(CALLER.ALL_REQUEST_BYTES)
        const { port } = server.address() as AddressInfo
        const client = new WebSocket(`ws://127.0.0.1:${port}`)
        const [ws] = yield* Effect.promise(() => once(server, "connection"))
        const intake = new Intake(ws, { bytes: CALLER.REQUEST_BYTES, all, requests: CALLER.REQUESTS }, () => {})
        intake.begin("1", 10 * MIB)
        expect(all.used).toBeGreaterThan(9 * MIB)
        client.on("error", () => {})
        client.terminate()
        yield* until(() => all.used === 0)
        intake.begin("2", 10 * MIB)
        intake.answered("1")
        expect(all.used).toBe(0)
      }),
    60_000
  )

  it.scopedLive(
    "of all clients together: the sum is bounded, and small requests of others go on",
    () =>
      Effect.gen(function* () {
        const { quota, url } = yield* start()
        const hoarders = yield* Effect.forEach(Array.from({ length: 5 }), () => dial(url))
        const large = [1, 2, 3, 4, 5].map((id) => packed(id, hanging(15 * MIB)))
        for (const { ws } of hoarders) for (const message of large) ws.send(message)
        yield* until(() => quota.requests.used > CALLER.ALL_REQUEST_BYTES - 16 * MIB)
        expect(quota.requests.used).toBeLessThanOrEqual(CALLER.ALL_REQUEST_BYTES)
        const { got, ws } = yield* dial(url)
        for (let i = 0; i < 200; i++) send(ws, i, GET)
        yield* until(() => got.length === 200)
        // by then there is no room for a large body
        const status = yield* Effect.promise(() => post(url, Buffer.alloc(17 * MIB)))
        expect(status).toBe(429)
        for (const { ws } of hoarders) ws.terminate()
        yield* until(() => quota.requests.used === 0)
      }),
    60_000
  )

  it.scopedLive(
    "of one client are so many at most: one more is QuotaExceeded",
    () =>
      Effect.gen(function* () {
        const { got, log, ws } = yield* withClient
        for (let i = 0; i < CALLER.REQUESTS + 3; i++) send(ws, i, { tag: "Get", payload: { id: "hang" } })
        yield* until(() => got.length === 3)
        expect(log.hanging).toBe(CALLER.REQUESTS)
        for (const { exit } of got) expect(exit.cause.error).toMatchObject({ _tag: "QuotaExceeded", quota: "requests of one client" }) // prettier-ignore
      }),
    60_000
  )
})

const post = (url: string, body: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    const request = Http.request(`${url}/rpc`, { method: "POST" }, (answer) => {
      answer.resume()
      resolve(answer.statusCode!)
      request.destroy()
    })
    request.on("error", reject)
    request.end(body)
  })
