/** The opening of a socket against a real server: what goes out, and every way in which it comes to nothing. */
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Metrics } from "../../src/observability/Metrics.js"
import type { Resolve } from "../../src/socket/ClientWrapper.js"
import { Sessions } from "../../src/socket/wire/Session.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TEST_CERT } from "../support/testCertificate.js"
import {
  eventually,
  expectFrame,
  open,
  reconnectWith,
  sessionsLayer,
  specOf,
  type Surroundings,
  text
} from "./testSession.js"

const failed = (spec: ReturnType<typeof specOf>, surroundings: Surroundings = {}) =>
  Effect.scoped(Effect.flip(open(spec))).pipe(Effect.provide(sessionsLayer(surroundings)))

const dials = Effect.map(Metrics, (metrics) =>
  Object.fromEntries(
    metrics
      .collect()
      .find((f) => f.name.endsWith("dials_total"))!
      .samples.filter((s) => s.value !== 0)
      .map((s) => [s.labels[0]![1], s.value])
  )
)

describe("Dial", () => {
  it.scopedLive("sends headers, subprotocols, path and query, and tells the subprotocol chosen", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ subprotocol: "mqtt" })
      const { session } = yield* open(
        specOf(`${server.url}/a/b?c=d`, { headers: [["X-One", "1"]], subprotocols: ["amqp", "mqtt"] })
      )
      expect(session.subprotocol).toBe("mqtt")
      expect(server.last.url).toBe("/a/b?c=d")
      expect(server.last.headers["x-one"]).toBe("1")
      expect(server.last.headers["sec-websocket-protocol"]).toBe("amqp,mqtt")
      expect(server.last.headers["sec-websocket-extensions"]).toBeUndefined()
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("offers permessage-deflate only where asked, and reads what comes compressed", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ compression: true })
      server.echo()
      const { frames, session } = yield* open(specOf(server.url, { compression: true }))
      expect(server.last.headers["sec-websocket-extensions"]).toContain("permessage-deflate")
      expect(server.last.ws.extensions).toContain("permessage-deflate")
      yield* session.send(Buffer.from("x".repeat(5000)), false)
      server.last.send("y".repeat(5000))
      yield* eventually(() => frames.length === 2)
      expect([...frames].sort()).toEqual(["x".repeat(5000), "y".repeat(5000)])
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("fills secrets, ids and epoch into URL, headers and subprotocols, anew at each dial", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const secrets: Record<string, string> = { T: "a b&c=d/ü", H: "Bearer x y", P: "v1.json", U: "me", W: "p:w@" }
      const spec = specOf(
        server.url.replace("//", "//${secret:U}:${secret:W}@") +
          "/p/${connection:id}?t=${secret:T}&e=${connection:epoch}",
        {
          headers: [
            ["X-Whole", "secret:H"],
            ["X-Part", "<${secret:H}> ${instance:id} ${unknown:x}"]
          ],
          subprotocols: ["${secret:P}"]
        }
      )
      yield* Effect.gen(function* () {
        yield* open(spec)
        const { headers, url } = server.last
        expect(url).toBe("/p/c1?t=a%20b%26c%3Dd%2F%C3%BC&e=7")
        expect(headers["x-whole"]).toBe("Bearer x y")
        expect(headers["x-part"]).toBe("<Bearer x y> i1 ${unknown:x}")
        expect(headers["sec-websocket-protocol"]).toBe("v1.json")
        expect(headers.authorization).toBe(`Basic ${Buffer.from("me:p:w@").toString("base64")}`)
        secrets.H = "rotated"
        yield* open(spec)
        expect(server.last.headers["x-whole"]).toBe("rotated")
      }).pipe(Effect.provide(sessionsLayer({ secrets })))
    })
  )

  it.scopedLive("a missing secret, or one that cannot stand where it is used, is kind secret and never shown", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const secrets = { BAD: "SECRET\r\nX-Evil: 1", WORD: "SECRET word" }
      const missing = yield* failed(specOf(server.url, { headers: [["A", "secret:NONE"]] }), { secrets })
      expect(missing).toMatchObject({ _tag: "DialFailure", kind: "secret" })
      expect(missing.reason).toContain("NONE")
      const header = yield* failed(specOf(server.url, { headers: [["A", "x ${secret:BAD}"]] }), { secrets })
      const protocol = yield* failed(specOf(server.url, { subprotocols: ["${secret:WORD}"] }), { secrets })
      for (const failure of [header, protocol]) {
        expect(failure).toMatchObject({ kind: "secret" })
        expect(JSON.stringify(failure)).not.toContain("SECRET")
        expect(failure.reason).toMatch(/BAD|WORD/)
      }
      for (const step of [text("${secret:NONE}")]) {
        expect(yield* failed(specOf(server.url, { handshake: [step] }))).toMatchObject({ kind: "secret" })
      }
      expect(server.openings.length).toBe(0)
    })
  )

  it.scopedLive(
    "a secret goes where it is listed and nowhere else, wherever in the spec it is used, in any spelling",
    () =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { port } = new URL(server.url)
        const secrets = { "feed-tok": "t", "FEED.TOK": "t", Feed_Tok: "t", "feed-tok/KEY": "k", FREE: "f", other: "o" }
        const surroundings = {
          secrets,
          settings: {
            secretHosts: new Map([
              ["feed-tok", ["feed.example", "*.good.example:*"]],
              ["free", [`ws://127.0.0.1:${port}`]]
            ])
          }
        }
        for (const name of ["feed-tok", "FEED.TOK", "Feed_Tok", "feed-tok/KEY", "other"]) {
          const used = [
            { headers: [["A", `secret:${name}`]] },
            { headers: [["A", `b \${secret:${name}}`]] },
            { subprotocols: [`\${secret:${name}}`] },
            { handshake: [text(`\${secret:${name}}`)] },
            { keepAlive: { ...specOf("ws://x").keepAlive, ping: { ...text(`\${secret:${name}}`), binary: false, intervalMs: 1 } } } // prettier-ignore
          ] as const
          for (const more of used) {
            const failure = yield* failed(specOf(server.url, more), surroundings)
            expect(failure).toMatchObject({ _tag: "TargetForbidden", host: "127.0.0.1" })
            expect(failure.reason).toContain(name)
          }
          expect((yield* failed(specOf(`${server.url}/?t=\${secret:${name}}`), surroundings))._tag).toBe(
            "TargetForbidden"
          )
        }
        expect(server.openings.length).toBe(0)
        yield* Effect.gen(function* () {
          yield* open(specOf(server.url, { headers: [["A", "secret:FREE"]] }))
          const sessions = yield* Sessions
          const goes = { headers: [["A", "secret:FEED_TOK"]] } as const
          const refused = (url: string) =>
            Effect.map(Effect.flip(sessions.precheck(specOf(url, goes))), ({ host, reason }) => [host, reason])
          yield* sessions.precheck(specOf("wss://feed.example/x", goes))
          yield* sessions.precheck(specOf("wss://a.good.example:8443/x", goes))
          for (const url of ["ws://feed.example/", "ws://feed.example:443/", "wss://feed.example:8443/"]) {
            expect(yield* refused(url)).toEqual(["feed.example", expect.stringContaining("names other targets for it")])
          }
          expect((yield* refused("wss://good.example"))[0]).toBe("good.example")
        }).pipe(Effect.provide(sessionsLayer(surroundings)))
      })
  )

  it.scopedLive("an instance that is reached from elsewhere gives no secret away without a list", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const surroundings = { secrets: { T: "t" }, settings: { host: "0.0.0.0" } }
      const spec = specOf(server.url, { headers: [["A", "secret:T"]] })
      expect(yield* failed(spec, surroundings)).toMatchObject({ _tag: "TargetForbidden" })
      const listed = { ...surroundings, settings: { host: "0.0.0.0", secretHosts: new Map([["*", ["*"]]]) } }
      yield* open(spec).pipe(Effect.provide(sessionsLayer(listed)))
      expect(server.last.headers["a"]).toBe("t")
    })
  )

  it.scopedLive.each([
    [401, {}, undefined],
    [403, {}, undefined],
    [404, {}, undefined],
    [429, { "Retry-After": "7" }, 7000],
    [503, { "Retry-After": "soon" }, undefined],
    [500, {}, undefined],
    [200, {}, undefined]
  ] as const)("an answer %s is kind http with its status and Retry-After %s", ([status, headers, retryAfterMs]) =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.refuse(status, headers)
      expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "http", httpStatus: status, retryAfterMs })
    })
  )

  it.scopedLive("Retry-After may be a date", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.refuse(503, { "Retry-After": new Date(Date.now() + 60_000).toUTCString() })
      const failure = yield* failed(specOf(server.url))
      expect(failure).toMatchObject({ kind: "http", httpStatus: 503 })
      const ms = failure._tag === "DialFailure" ? failure.retryAfterMs! : 0
      expect(ms).toBeGreaterThan(57_000)
      expect(ms).toBeLessThanOrEqual(60_000)
    })
  )

  it.scopedLive("a redirect is an answer, not a way", () =>
    Effect.gen(function* () {
      const elsewhere = yield* ScriptedServer.scoped()
      const server = yield* ScriptedServer.scoped()
      for (const status of [301, 302, 307, 308]) {
        server.refuse(status, { Location: elsewhere.url })
        expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "http", httpStatus: status })
      }
      expect(elsewhere.openings.length).toBe(0)
    })
  )

  it.scopedLive.each([
    ["bearer.${secret:S}", "bearer.${secret:S}"],
    ["${secret:S}", "${secret:S}"],
    ["a.${connection:id}.${secret:S}", "a.${connection:id}.${secret:S}"],
    ["bearer.eyJhbGciOiJIUzI1NiJ9.c2lnbmF0dXJl", "***"],
    ["graphql-transport-ws", "graphql-transport-ws"]
  ] as const)(
    "of the subprotocol %s that the peer chose %s is told, never what went over the wire",
    ([subprotocol, shown]) =>
      Effect.gen(function* () {
        const server = yield* ScriptedServer.scoped()
        const { session } = yield* open(specOf(server.url, { subprotocols: [subprotocol, "other"] }))
        expect(session.subprotocol).toBe(shown)
        expect(server.last.headers["sec-websocket-protocol"]).not.toContain("${")
      }).pipe(Effect.provide(sessionsLayer({ secrets: { S: "S3cretValue" } })))
  )

  it.scopedLive("a peer that repeats what it was sent in confidence is told of without it", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const secrets = { S: "S3cret/Value of S" }
      const spec = specOf(server.url.replace("//", "//me:p4ssword-of-me@") + "/?t=${secret:S}&pwd=literal-pwd", {
        headers: [
          ["Authorization", "Bearer literal-of-a-header"],
          ["Origin", "https://an-origin.example"]
        ]
      })
      const said = [
        secrets.S,
        encodeURIComponent(secrets.S),
        Buffer.from(secrets.S).toString("base64"),
        Buffer.from("me:p4ssword-of-me").toString("base64"),
        "literal-pwd",
        "literal-of-a-header",
        secrets.S.slice(0, 11)
      ]
      for (const words of said) {
        const end = yield* Effect.gen(function* () {
          const { session } = yield* open(spec)
          server.last.close(4000, `you sent ${words}`)
          return yield* session.ended
        }).pipe(Effect.scoped, Effect.provide(sessionsLayer({ secrets })))
        expect(end).toMatchObject({ closeCode: 4000, reason: expect.stringMatching(/^you sent \*{3}=?$/) })
        server.onOpen = (peer) => peer.close(4001, `no: ${words}`)
        const steps = { ...spec, handshake: [{ ...expectFrame("$.x"), timeoutMs: 5000 }] }
        const failure = yield* failed(steps, { secrets })
        expect(failure.reason).toMatch(/^the peer closed with 4001: no: \*{3}=?$/)
        server.onOpen = () => {}
      }
      const { session } = yield* open(spec).pipe(Effect.provide(sessionsLayer({ secrets })))
      server.last.close(4000, "https://an-origin.example may not")
      expect((yield* session.ended).reason).toBe("https://an-origin.example may not")
    })
  )

  it.scopedLive("a wrong, missing or unasked subprotocol is kind http", () =>
    Effect.gen(function* () {
      const wrong = yield* ScriptedServer.scoped({ subprotocol: { raw: "other" } })
      const none = yield* ScriptedServer.scoped({ subprotocol: false })
      const asked = { subprotocols: ["mqtt"] }
      expect(yield* failed(specOf(wrong.url, asked))).toMatchObject({ kind: "http", httpStatus: undefined })
      expect(yield* failed(specOf(none.url, asked))).toMatchObject({ kind: "http" })
      expect(yield* failed(specOf(wrong.url))).toMatchObject({ kind: "http" })
    })
  )

  it.scopedLive("an opening that is cut, or answered with something else than HTTP, is kind http", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.cutOpening()
      expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "http", httpStatus: undefined })
      const garbage = [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
      ]
      for (const answer of garbage) {
        server.answerRaw(answer)
        expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "http", httpStatus: undefined })
      }
    })
  )

  it.scopedLive("a port where nobody listens is kind refused", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* Effect.promise(() => server.stop())
      expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "refused" })
    })
  )

  it.scopedLive("a name that does not resolve is kind dns", () =>
    Effect.gen(function* () {
      expect(yield* failed(specOf("ws://no-such-host.invalid/"))).toMatchObject({ kind: "dns" })
    })
  )

  it.scopedLive("a stalled opening is kind timeout at its deadline, and its socket is gone", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.stallOpening()
      const started = performance.now()
      expect(yield* failed(specOf(server.url, { reconnect: reconnectWith(150) }))).toMatchObject({ kind: "timeout" })
      expect(performance.now() - started).toBeLessThan(5000)
      yield* Effect.promise(() => server.until(() => server.rawSockets() === 0))
    })
  )

  it.scopedLive("a deadline of 2^32-1 milliseconds does not fire at once", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* open(specOf(server.url, { reconnect: reconnectWith(2 ** 32 - 1) }))
      expect(server.connections()).toBe(1)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("an interrupted dial leaves no socket behind", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      server.stallOpening()
      const fiber = yield* Effect.fork(Effect.scoped(open(specOf(server.url))))
      yield* Effect.promise(() => server.until(() => server.openings.length === 1))
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => server.until(() => server.rawSockets() === 0))
      expect(server.rawSockets()).toBe(0)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.scopedLive("a self-signed certificate is kind tls, a trusted one opens", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped({ tls: true })
      expect(yield* failed(specOf(server.url))).toMatchObject({ kind: "tls" })
      expect(server.openings.length).toBe(0)
      const byName = server.url.replace("127.0.0.1", "localhost")
      yield* open(specOf(byName)).pipe(Effect.provide(sessionsLayer({ client: { ca: TEST_CERT } })))
      expect(server.openings.length).toBe(1)
    })
  )

  it.scopedLive("TLS to a peer that does not speak it is kind tls", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      expect(yield* failed(specOf(server.url.replace("ws:", "wss:")))).toMatchObject({ kind: "tls" })
    })
  )

  it.scopedLive("public egress refuses a literal address at once and a name by what it resolves to", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const settings = { egress: "public" } as const
      const byName = specOf(server.url.replace("127.0.0.1", "localhost"))
      expect(yield* failed(specOf(server.url), { settings })).toMatchObject({
        _tag: "TargetForbidden",
        host: "127.0.0.1"
      })
      expect(yield* failed(byName, { settings })).toMatchObject({ _tag: "TargetForbidden", host: "localhost" })
      const mapped = specOf(server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"))
      expect(yield* failed(mapped, { settings })).toMatchObject({ _tag: "TargetForbidden" })
      expect(server.openings.length).toBe(0)
      yield* Effect.gen(function* () {
        const sessions = yield* Sessions
        expect((yield* Effect.flip(sessions.precheck(specOf(server.url)))).reason).toContain("loopback")
        yield* sessions.precheck(byName)
      }).pipe(Effect.provide(sessionsLayer({ settings })))
      const allow = { ...settings, egressAllow: ["localhost"] }
      yield* open(byName).pipe(Effect.provide(sessionsLayer({ settings: allow })))
      expect(server.openings.length).toBe(1)
    })
  )

  it.scopedLive("a name is resolved once, and what was judged is what is dialled", () => {
    const asked: Array<string> = []
    const resolve: Resolve = (host, done) => {
      asked.push(host)
      // A rebinding name: it would be another address the second time.
      done(null, [{ address: asked.length === 1 ? "127.0.0.1" : "192.0.2.1", family: 4 }])
    }
    return Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* open(specOf(server.url.replace("127.0.0.1", "rebind.test")))
      expect(asked).toEqual(["rebind.test"])
      expect(server.last.headers.host).toBe(`rebind.test:${server.port}`)
    }).pipe(
      Effect.provide(
        sessionsLayer({ client: { resolve }, settings: { egress: "public", egressAllow: ["127.0.0.0/8"] } })
      )
    )
  })

  it.scopedLive("one forbidden address among those of a name forbids the name", () => {
    const resolve: Resolve = (_host, done) =>
      done(null, [
        { address: "127.0.0.1", family: 4 },
        { address: "::ffff:a00:1", family: 6 }
      ])
    return Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const spec = specOf(server.url.replace("127.0.0.1", "mixed.test"))
      expect(yield* Effect.flip(open(spec))).toMatchObject({ _tag: "TargetForbidden", host: "mixed.test" })
      expect(server.rawSockets()).toBe(0)
    }).pipe(
      Effect.provide(sessionsLayer({ client: { resolve }, settings: { egress: "public", egressAllow: ["127.0.0.1"] } }))
    )
  })

  it.scopedLive("counts dials by outcome", () =>
    Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      yield* open(specOf(server.url))
      server.refuse(503)
      yield* Effect.flip(open(specOf(server.url)))
      yield* Effect.flip(open(specOf("ws://forbidden.example/")))
      server.accept()
      const steps = { handshake: [expectFrame("", "", { timeoutMs: 30 })] }
      yield* Effect.flip(open(specOf(server.url, steps)))
      expect(yield* dials).toEqual({ ok: 1, http: 1, forbidden: 1, handshake: 1 })
    }).pipe(Effect.provide(sessionsLayer({ settings: { egressDeny: ["forbidden.example"] } })))
  )

  it.scopedLive("dials nothing when it may not act, and waits for the host's budget before it dials", () => {
    let share = 0.01
    return Effect.gen(function* () {
      const server = yield* ScriptedServer.scoped()
      const sessions = yield* Sessions
      const spec = specOf(server.url)
      expect(sessions.budgetWait(spec.hostPort)).toBe(0)
      yield* Effect.flip(open(spec, { mayDial: () => false }))
      expect(server.openings.length).toBe(0)
      expect(sessions.budgetWait(spec.hostPort)).toBeGreaterThan(900)
      const fiber = yield* Effect.fork(Effect.scoped(open(spec)))
      yield* Effect.yieldNow()
      expect(sessions.budgetWait(spec.hostPort)).toBeGreaterThan(1900)
      yield* Fiber.interrupt(fiber)
      share = 1
      expect(sessions.budgetWait(spec.hostPort)).toBeLessThan(11)
      yield* open(spec)
      expect(server.openings.length).toBe(1)
    }).pipe(Effect.provide(sessionsLayer({ settings: { dialRatePerHost: 100 }, share: () => share })))
  })

  it.scopedLive("a TCP peer that accepts and says nothing is kept no longer than the deadline", () =>
    Effect.gen(function* () {
      const sockets: Array<Net.Socket> = []
      const server = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const listening = Net.createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1", () =>
            resume(Effect.succeed(listening))
          )
        }),
        (listening) => Effect.sync(() => listening.close(() => {}))
      )
      const { port } = server.address() as Net.AddressInfo
      const spec = specOf(`wss://127.0.0.1:${port}`, { reconnect: reconnectWith(100) })
      expect(yield* failed(spec)).toMatchObject({ kind: "timeout" })
      for (const socket of sockets) socket.destroy()
    })
  )
})
