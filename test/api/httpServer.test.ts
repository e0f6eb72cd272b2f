/** The HTTP port: what it serves, its limits, and how it opens and closes. */
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { mkdtempSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect } from "vitest"
import * as HttpListener from "../../src/api/http/HttpListener.js"
import { fromError } from "../../src/api/http/Problem.js"
import { Settings } from "../../src/config/Settings.js"
import { ERROR_TABLE, type ErrorTag, InvalidRequest } from "../../src/domain/Errors.js"
import { bodies as serialization } from "../../src/rpc/Serialization.js"
import { settings, start } from "../support/FakeDoors.js"
import { SAMPLE_ERRORS } from "../support/FakeManager.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"

const ask = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const answer = await fetch(url, init)
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  })
const until = (holds: () => boolean) =>
  Effect.repeat(Effect.sync(holds), { until: (b) => b, schedule: Schedule.spaced("5 millis") })
const listener = (changes: Parameters<typeof settings>[0] = {}) =>
  Effect.map(
    Layer.build(HttpListener.layer.pipe(Layer.provide(Layer.succeed(Settings, settings(changes))))),
    Context.get(HttpListener.HttpListener)
  )

describe("health", () => {
  it.scopedLive("/alive is 200 and nothing else", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const alive = yield* ask(`${url}/alive`)
      expect([alive.status, alive.body]).toEqual([200, ""])
    })
  )

  it.scopedLive("/health/ready is 503 exactly while the manager is not ready; /health/live never is", () =>
    Effect.gen(function* () {
      const { health, url } = yield* start()
      for (const phase of ["booting", "draining", "fenced", "left"]) {
        Object.assign(health, { phase, ready: false })
        const ready = yield* ask(`${url}/health/ready`)
        expect([ready.status, ready.body]).toEqual([503, `${phase}\n`])
        expect((yield* ask(`${url}/health/live`)).status).toBe(200)
      }
      Object.assign(health, { phase: "ready", ready: true })
      expect((yield* ask(`${url}/health/ready`)).status).toBe(200)
    })
  )

  it.scopedLive("/health is JSON with a line for each dependency", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const { body, headers, status } = yield* ask(`${url}/health`)
      expect([status, headers.get("content-type")]).toEqual([200, "application/json"])
      expect(JSON.parse(body)).toEqual({
        status: "degraded",
        phase: "ready",
        dependencies: [
          { name: "stateStore", status: "ok", detail: "answers" },
          { name: "pubsub", status: "degraded", detail: "no answer" }
        ]
      })
      expect(body.split("\n").filter((line) => line.includes('"name"'))).toHaveLength(2)
    })
  )

  it.scopedLive("/metrics is Prometheus text with the calls that were made", () =>
    Effect.gen(function* () {
      const { metrics, url } = yield* start()
      metrics.rpcSeconds("rpc-ws", "Get", "OK").observe(0.2)
      const { body, headers } = yield* ask(`${url}/metrics`)
      expect(headers.get("content-type")).toContain("text/plain; version=0.0.4")
      expect(body).toContain("# TYPE websocketmanager_rpc_seconds histogram")
      expect(body).toMatch(/websocketmanager_rpc_seconds_count\{door="rpc-ws",method="Get",code="OK"\} 1/)
    })
  )

  it.scopedLive("what is not there is 404 with one line that says what is", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const path of ["/", "/v1/connections", "/docs", "/openapi.json", "/rpc/other"]) {
        const { body, status } = yield* ask(url + path)
        expect([path, status]).toEqual([path, 404])
        expect(body).toMatch(/^there is no GET .*\/rpc\/ws.*\/metrics\n$/)
      }
      expect((yield* ask(`${url}/alive`, { method: "DELETE" })).status).toBe(404)
      expect((yield* ask(`${url}/rpc/ws`)).status).toBe(426)
    })
  )
})

describe("problem documents", () => {
  it("carry type, title, status, detail and the error's fields, for every error", () => {
    for (const [tag, error] of Object.entries(SAMPLE_ERRORS)) {
      const { body, status } = fromError(error)
      expect(status).toBe(ERROR_TABLE[tag as ErrorTag].http)
      expect(JSON.parse(body)).toMatchObject({ type: `urn:websocketmanager:error:${tag}`, title: tag, status })
    }
    expect(JSON.parse(fromError(SAMPLE_ERRORS.DialFailed).body)).toMatchObject({ kind: "http", httpStatus: "503" })
    expect(JSON.parse(fromError(SAMPLE_ERRORS.OwnerUnreachable).body)).toMatchObject({
      owner: "there",
      executed: "unknown"
    })
  })

  it("cut long values to 256 characters", () => {
    const { field, detail } = JSON.parse(fromError(new InvalidRequest({ field: "f".repeat(1000), reason: "r" })).body)
    expect([field.length, detail.length]).toEqual([256, 256])
  })
})

describe("bodies", () => {
  it.scopedLive("over 24 MiB are refused, declared or not, and the server lives", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const large = Buffer.alloc(25 << 20)
      const chunked = () =>
        Effect.async<number | string>((resume) => {
          const request = Http.request(`${url}/rpc`, { method: "POST", agent: false }, (answer) => {
            answer.resume()
            resume(Effect.succeed(answer.statusCode ?? 0))
          })
          request.on("error", (error) => resume(Effect.succeed(error.message)))
          request.write(large)
          request.end(large)
        })
      expect(yield* chunked()).toBe(413)
      const declared = Effect.async<number>((resume) => {
        const request = Http.request(`${url}/rpc`, {
          method: "POST",
          agent: false,
          headers: { "content-length": large.length }
        })
        request.on("response", (answer) => resume(Effect.succeed(answer.statusCode ?? 0)))
        request.on("error", () => {})
        request.flushHeaders()
        return Effect.sync(() => request.destroy())
      })
      expect(yield* declared).toBe(413)
      expect((yield* ask(`${url}/alive`)).status).toBe(200)
    })
  )
})

describe("the listener", () => {
  it.scopedLive("tells its port before anything is served, and answers 503 until then", () =>
    Effect.gen(function* () {
      const { address, port, serve } = yield* listener()
      expect(address).toBe(`http://127.0.0.1:${port}`)
      expect((yield* ask(`${address}/health/ready`)).status).toBe(503)
      expect((yield* ask(`${address}/rpc`, { method: "POST" })).status).toBe(503)
      expect((yield* ask(`${address}/alive`)).status).toBe(200)
      expect((yield* ask(`${address}/health/live`)).status).toBe(200)
      const scope = yield* Scope.make()
      const served = {
        request: (_: unknown, response: Http.ServerResponse) => response.end("served"),
        upgrade: () => {}
      }
      yield* Scope.extend(serve(served), scope)
      expect((yield* ask(address)).body).toBe("served")
      yield* Scope.close(scope, Exit.void)
      expect((yield* ask(address)).status).toBe(503)
    })
  )

  it.scopedLive("names the address that is taken", () =>
    Effect.gen(function* () {
      const { port } = yield* listener()
      const error = yield* Effect.flip(listener({ httpPort: port }))
      expect(error.message).toContain(`cannot listen on 127.0.0.1:${port}: listen EADDRINUSE`)
    })
  )

  it.scopedLive("speaks TLS with a certificate, and names one it cannot read", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(tmpdir(), "wsm-tls-"))
      const tlsCert = join(directory, "cert.pem")
      const tlsKey = join(directory, "key.pem")
      writeFileSync(tlsCert, TEST_CERT)
      writeFileSync(tlsKey, TEST_KEY)
      const { url } = yield* start({ settings: { tlsCert, tlsKey } })
      expect(url).toMatch(/^https:/)
      const status = yield* Effect.async<number>((resume) => {
        Https.get(`${url}/alive`, { ca: TEST_CERT, agent: false }, (answer) => {
          answer.resume()
          resume(Effect.succeed(answer.statusCode ?? 0))
        }).on("error", (error) => resume(Effect.die(error)))
      })
      expect(status).toBe(200)
      const missing = yield* Effect.flip(listener({ tlsCert: join(directory, "none.pem"), tlsKey }))
      expect(missing.message).toContain("none.pem")
    })
  )

  it.scopedLive("closes in less than a second with a call under way and a kept connection", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { log, listener, url } = yield* Scope.extend(start(), scope)
      const kept = yield* Effect.async<Socket>((resume) => {
        const socket = connect(listener.port, "127.0.0.1", () => {
          socket.write("GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n")
          socket.once("data", () => resume(Effect.succeed(socket)))
        })
        socket.on("error", () => {})
      })
      const message = {
        _tag: "Request",
        id: "1",
        tag: "Send",
        payload: { id: "hang", message: Buffer.from("x") },
        headers: []
      }
      const body = serialization.unsafeMake().encode(message) as Uint8Array
      const call = fetch(`${url}/rpc`, { method: "POST", body }).then((answer) => answer.status, () => "cut") // prettier-ignore
      yield* until(() => log.hanging === 1)
      const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
      expect(Duration.toMillis(took)).toBeLessThan(1000)
      expect(yield* Effect.promise(() => call)).toBe("cut")
      yield* until(() => log.interrupted.includes("hang"))
      kept.destroy()
    })
  )
})
