/** Who may call over HTTP: a table for the judgement, and real requests and upgrades for its use. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Http from "node:http"
import { expect } from "vitest"
import { WebSocket } from "ws"
import { make, pathOf } from "../../src/api/http/Guard.js"
import { isLoopback } from "../../src/common/Hosts.js"
import { start } from "../support/FakeDoors.js"

const ADVERTISED = "http://wsm.example:5001"
const open = make({ token: undefined, advertised: ADVERTISED })
const locked = make({ token: Redacted.make("s3cret"), advertised: ADVERTISED })

type Row = readonly [what: string, headers: Http.IncomingHttpHeaders, status: number | "passes", url?: string]

const WITHOUT_TOKEN: ReadonlyArray<Row> = [
  ["IPv4 loopback", { host: "127.0.0.1:5001" }, "passes"],
  ["another loopback address", { host: "127.8.9.1" }, "passes"],
  ["localhost with any port", { host: "localhost:8080" }, "passes"],
  ["LOCALHOST", { host: "LOCALHOST:8080" }, "passes"],
  ["IPv6 loopback", { host: "[::1]:5001" }, "passes"],
  ["mapped loopback", { host: "[::ffff:127.0.0.1]:5001" }, "passes"],
  ["the advertised host", { host: "wsm.example:5001" }, "passes"],
  ["the advertised host, mapped port", { host: "wsm.example" }, "passes"],
  ["a foreign host", { host: "evil.example:5001" }, 403],
  ["a host that only begins like one", { host: "localhost.evil.example" }, 403],
  ["a host that begins like the advertised one", { host: "wsm.example.evil" }, 403],
  ["another address", { host: "10.0.0.1:5001" }, 403],
  ["userinfo in the host", { host: "127.0.0.1@evil.example" }, 403],
  ["no host", {}, 403],
  ["an empty host", { host: "" }, 403],
  ["a foreign host, even for a probe", { host: "evil.example" }, 403, "/alive"],
  ["a foreign origin", { host: "127.0.0.1:5001", origin: "https://evil.example" }, 403],
  ["a page of another local server", { host: "localhost:5001", origin: "http://localhost:3000" }, 403],
  ["the null origin", { host: "127.0.0.1:5001", origin: "null" }, 403],
  ["our own origin", { host: "127.0.0.1:5001", origin: "http://127.0.0.1:5001" }, "passes"],
  ["the advertised origin", { host: "127.0.0.1:5001", origin: ADVERTISED }, "passes"],
  ["a rebound page: origin and host agree, both foreign", { host: "evil.example:5001", origin: "http://evil.example:5001" }, 403],
  ["a body that says it is too large", { host: "127.0.0.1", "content-length": String((24 << 20) + 1) }, 413],
  ["a body of exactly 24 MiB", { host: "127.0.0.1", "content-length": String(24 << 20) }, "passes"]
] // prettier-ignore

const bearer = (token: string) => ({ host: "any.example", authorization: token })
const WITH_TOKEN: ReadonlyArray<Row> = [
  ["the token", bearer("Bearer s3cret"), "passes"],
  ["the scheme in lower case", bearer("bearer s3cret"), "passes"],
  ["no token", { host: "127.0.0.1" }, 401],
  ["an empty token", bearer("Bearer "), 401],
  ["a longer token", bearer("Bearer s3cret2"), 401],
  ["a shorter token", bearer("Bearer s3cre"), 401],
  ["another scheme", bearer("Basic s3cret"), 401],
  ["the bare token", bearer("s3cret"), 401],
  ["no token, /alive", { host: "any.example" }, "passes", "/alive"],
  ["no token, /health/live", { host: "any.example" }, "passes", "/health/live?x=1"],
  ["no token, /health/ready", { host: "any.example" }, "passes", "/health/ready"],
  ["no token, the page", { host: "any.example" }, "passes", "/"],
  ["no token, /health", { host: "any.example" }, 401, "/health"],
  ["no token, /metrics", { host: "any.example" }, 401, "/metrics"],
  ["no token, the socket", { host: "any.example" }, 401, "/rpc/ws"],
  ["no token, something that is not there", { host: "any.example" }, 401, "/v1/connections"],
  ["a path that only looks open", { host: "any.example" }, 401, "/alive/../metrics"],
  ["a path that only looks open once its dots are resolved", { host: "any.example" }, 401, "/metrics;/../../alive"],
  ["a path that looks open behind a host", { host: "any.example" }, 401, "//metrics/alive"],
  ["an absolute target", { host: "any.example" }, 401, "http://any.example/metrics"],
  ["a foreign origin, even with the token", { ...bearer("Bearer s3cret"), origin: "https://evil.example" }, 403],
  ["the page's own origin behind a proxy that ends TLS", { ...bearer("Bearer s3cret"), origin: "https://any.example" }, "passes"]
] // prettier-ignore

describe("the guard", () => {
  for (const [name, guard, rows] of [
    ["without a token", open, WITHOUT_TOKEN],
    ["with a token", locked, WITH_TOKEN]
  ] as const) {
    for (const [what, headers, status, url = "/rpc"] of rows) {
      it(`${name}: ${what} ${status === "passes" ? "passes" : `is ${status}`}`, () => {
        expect(guard({ url, headers })?.status ?? "passes").toBe(status)
      })
    }
  }

  it("loopback is 127.0.0.0/8, ::1 and localhost", () => {
    expect(["127.0.0.1", "127.255.0.1", "[::1]", "localhost"].map(isLoopback)).toEqual([true, true, true, true])
    expect(["128.0.0.1", "[::2]", "0.0.0.0", "localhost.", "127.evil.example", ""].map(isLoopback)).toEqual(
      Array.from({ length: 6 }, () => false)
    )
  })

  it("a path is what stands before the query, as it was sent", () => {
    expect(["/a?b?c", undefined, "*", "//x/../y"].map(pathOf)).toEqual(["/a", "/", "*", "//x/../y"])
  })
})

const get = (url: string, path: string, headers: Record<string, string> = {}) =>
  Effect.async<{ status: number; headers: Http.IncomingHttpHeaders; body: string }>((resume) => {
    const { hostname, port } = new URL(url)
    // the path as it is, not as a URL would mend it
    const request = Http.get({ hostname, port, path, headers, agent: false }, (answer) => {
      let body = ""
      answer.setEncoding("utf8").on("data", (text: string) => (body += text))
      answer.on("end", () => resume(Effect.succeed({ status: answer.statusCode ?? 0, headers: answer.headers, body })))
    })
    request.on("error", (error) => resume(Effect.die(error)))
  })
const upgrade = (url: string, headers: Record<string, string>) =>
  Effect.async<string>((resume) => {
    const ws = new WebSocket(`${url.replace("http", "ws")}/rpc/ws`, { headers })
    ws.on("open", () => resume(Effect.succeed("open")))
    ws.on("error", (error) => resume(Effect.succeed(error.message)))
    return Effect.sync(() => ws.terminate())
  })

describe("the guard stands before every door", () => {
  it.scopedLive("a foreign Host or Origin is 403 on routes, on what is not there, and on the upgrade", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const path of ["/alive", "/health", "/metrics", "/rpc", "/v1/connections", "/"]) {
        const foreign = yield* get(url, path, { host: "evil.example" })
        expect([path, foreign.status]).toEqual([path, 403])
        expect(JSON.parse(foreign.body)).toMatchObject({
          type: "urn:websocketmanager:error:PermissionDenied",
          title: "PermissionDenied",
          status: 403
        })
        expect((yield* get(url, path, { origin: "http://evil.example" })).status).toBe(403)
      }
      expect(yield* upgrade(url, { host: "evil.example" })).toBe("Unexpected server response: 403")
      expect(yield* upgrade(url, { origin: "http://evil.example" })).toBe("Unexpected server response: 403")
      expect(yield* upgrade(url, { origin: url })).toBe("open")
    })
  )

  it.scopedLive("with a token only the probes and the page are open", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ settings: { apiToken: Redacted.make("s3cret") } })
      const statuses = yield* Effect.forEach(
        ["/alive", "/health/live", "/health/ready", "/", "/health", "/metrics", "/nothing"],
        (path) => Effect.map(get(url, path), ({ status }) => status)
      )
      expect(statuses).toEqual([200, 200, 200, 404, 401, 401, 401])
      for (const path of ["/metrics;/../../alive", "//metrics/alive", "/alive/../metrics", "/metrics#/alive"]) {
        expect([path, (yield* get(url, path)).status]).toEqual([path, 401])
      }
      const refused = yield* get(url, "/health")
      expect(refused.headers["www-authenticate"]).toBe("Bearer")
      expect(refused.headers["content-type"]).toBe("application/problem+json")
      expect((yield* get(url, "/health", { authorization: "Bearer s3cret" })).status).toBe(200)
      expect(yield* upgrade(url, {})).toBe("Unexpected server response: 401")
      expect(yield* upgrade(url, { authorization: "Bearer s3cret" })).toBe("open")
    })
  )
})
