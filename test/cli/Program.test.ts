/** The commands against a real HTTP port with a manager that echoes, and fails as the id says. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ErrorTag } from "../../src/domain/Errors.js"
import { howToTry } from "../../src/cli/commands/local.js"
import * as FakeDoors from "../support/FakeDoors.js"
import { instance, SAMPLE_ERRORS } from "../support/FakeManager.js"
import { type HostOptions, wsm } from "./runWsm.js"

const doors = (options: FakeDoors.DoorsOptions = {}) =>
  Effect.map(FakeDoors.start(options), ({ log, url }) => ({
    log,
    url,
    call: (argv: ReadonlyArray<string>, host: HostOptions = {}) =>
      wsm(argv, { ...host, env: { WSM_SERVER: url, ...host.env } })
  }))

const lines = (text: string) => text.trimEnd().split("\n")

describe("wsm and a manager", () => {
  it.scopedLive("connect asks for what its options say", () =>
    Effect.gen(function* () {
      const { call, log } = yield* doors()
      const options = [
        ["connect", "wss://feed.example/", "--topic", "prices", "--request-id", "key", "--no-reconnect"],
        ["--header", "Authorization=Basic a==", "--header", "X=secret:NAME", "--subprotocol", "a"],
        ["--subprotocol", "b", "--send", '  {"op":"login"} ', "--send", "--go", "--tag", "env=test", "--compression"],
        ["--packed", "--ping", "5s", "--idle-after", "1 minute", "--max-attempts", "3", "--max-message", "1 MiB"],
        ["--max-reply", "64 KiB"],
        ["--overflow", "drop-oldest", "--correlation", "next", "--no-await-open"]
      ]
      const ran = yield* call(options.flat())
      assert.deepStrictEqual([ran.status, ran.err], [0, ""])
      assert.match(ran.out, /^id +made$/m)
      const text = (value: string) => ({ sendText: new Uint8Array(Buffer.from(value)) })
      const [request] = log.connects as ReadonlyArray<{ readonly handshake: ReadonlyArray<{ sendText: Uint8Array }> }>
      assert.deepStrictEqual(
        { ...request, handshake: request!.handshake.map(({ sendText }) => ({ sendText: new Uint8Array(sendText) })) },
        {
          url: "wss://feed.example/",
          topic: "prices",
          requestId: "key",
          autoReconnect: false,
          awaitOpen: false,
          compression: true,
          headers: { Authorization: "Basic a==", X: "secret:NAME" },
          subprotocols: ["a", "b"],
          handshake: [text('  {"op":"login"} '), text("--go")],
          tags: { env: "test" },
          publishing: { packing: "PACKING_PACKED" },
          correlation: { mode: "CORRELATION_MODE_NEXT" },
          keepAlive: { pingIntervalMs: 5000, idleAfterMs: 60_000 },
          reconnect: { maxAttempts: 3 },
          maxMessageBytes: 1024 * 1024,
          maxReplyBytes: 64 * 1024,
          buffer: { overflow: "OVERFLOW_DROP_OLDEST" }
        } as unknown
      )
    })
  )

  it.scopedLive("connect --json prints the ConnectResponse", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const answer = JSON.parse((yield* call(["connect", "ws://a", "--json"])).out)
      assert.deepStrictEqual(Object.keys(answer), ["id", "status", "connection"])
      assert.strictEqual(answer.status, "CONNECTION_STATUS_CONNECTED")
      assert.strictEqual(answer.connection.createdAt, "2023-11-14T22:13:20.123Z")
    })
  )

  it.scopedLive("ls is a table for people and JSON for programs", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const [header, first, ...rest] = lines((yield* call(["ls"])).out)
      assert.match(header!, /^ID +STATUS +TOPIC +RECEIVED +DROPPED +INSTANCE +URL +TAGS$/)
      assert.match(
        first!,
        /^c0 +connected +prices +9007199254740991 +3 +fake +wss:\/\/feed.example\/数据 +région=zürich 🚀$/
      )
      assert.strictEqual(rest.length, 999)
      assert.strictEqual(JSON.parse((yield* call(["ls", "--json"])).out).connections.length, 1000)
    })
  )

  it.scopedLive("get, publish, unpublish, reconnect, migrate show the connection as it is now", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      for (const command of [
        ["get", "x"],
        ["publish", "x", "t"],
        ["unpublish", "x"],
        ["reconnect", "x"],
        ["migrate", "x"]
      ]) {
        const people = yield* call(command)
        assert.match(people.out, /^id +x$/m, command[0])
        const programs = JSON.parse((yield* call([...command, "--json"])).out)
        assert.strictEqual(programs.connection.id, "x", command[0])
      }
      assert.match((yield* call(["publish", "x", "here"])).out, /^topic +here$/m)
    })
  )

  it.scopedLive("send prints the reply: escaped for a terminal, byte for byte for a program", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const text = "\u001b[2J grüße"
      assert.strictEqual((yield* call(["send", "x", text], { terminal: true })).out, "\\e[2J grüße\n")
      assert.strictEqual((yield* call(["send", "x", text])).out, `${text}\n`)
      assert.strictEqual((yield* call(["send", "x", "-"], { stdin: "from stdin" })).out, "from stdin\n")
      assert.deepStrictEqual(JSON.parse((yield* call(["send", "x", "AP8=", "--base64", "--json"])).out), {
        contentType: "application/octet-stream",
        base64: "AP8="
      })
      assert.deepStrictEqual(yield* call(["send", "--raw", "x", "text"]), {
        status: 0,
        out: "",
        err: "",
        endWithin: undefined
      })
      assert.strictEqual((yield* call(["send", "x", "no base64!", "--base64"])).status, 2)
    })
  )

  it.scopedLive("tail --count ends after so many frames, a line each, with what was missed between them", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const people = yield* call(["tail", "frames:10:3:4", "--count", "5"])
      assert.strictEqual(people.status, 0)
      assert.strictEqual(lines(people.out).length, 6)
      assert.match(people.out, /^-- missed 7 frames/m)
      const programs = lines((yield* call(["tail", "frames:10:3:4", "--count", "5", "--json"])).out)
      assert.deepStrictEqual(
        programs.map((line) => JSON.parse(line).sequence),
        [1, 2, 3, 4, 5]
      )
    })
  )

  it.scopedLive("a person is told when a stream has begun, a program is not", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const argv = ["tail", "frames:3:3:4", "--count", "3"]
      assert.strictEqual(
        (yield* call(argv, { terminal: true })).err,
        "following the frames of frames:3:3:4; Ctrl-C ends it\n"
      )
      assert.strictEqual((yield* call(argv)).err, "")
    })
  )

  it.scopedLive("a stream that ends by itself is a failure, and says so", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const ran = yield* call(["tail", "frames:3:3:4", "--json"])
      assert.strictEqual(lines(ran.out).length, 3)
      assert.deepStrictEqual(
        [ran.status, ran.err],
        [1, "wsm: no more frames of frames:3:3:4 will come: the connection is gone or the server stops\n"]
      )
    })
  )

  it.scopedLive("a link that breaks under a stream is told, with status 1", () =>
    Effect.gen(function* () {
      const life = yield* Scope.make()
      const { log, url } = yield* Scope.extend(FakeDoors.start(), life)
      const running = yield* Effect.fork(wsm(["tail", "quiet", "--server", url]))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => log.open === 1 })
      yield* Scope.close(life, Exit.void)
      const ran = yield* Fiber.join(running)
      assert.strictEqual(ran.status, 1)
      assert.match(ran.err, /^wsm: the link to the manager at http:[^ ]+ broke: [^\n]+\n$/)
    })
  )

  it.scopedLive("events prints a line an event, with colour on a terminal only", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const argv = ["events", "--id", "a", "--id", "b", "--count", "2"]
      assert.match(
        (yield* call(argv)).out,
        /^\d\d:\d\d:\d\d\.\d{3} {2}connected {10}a {2}by=fake attempt=1\n.* b {2}by=fake attempt=1\n$/
      )
      assert.include((yield* call(argv, { terminal: true })).out, "\u001b[32mconnected")
    })
  )

  it.scopedLive("instances, drain and rebalance tell what came of it", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      assert.match((yield* call(["instances"])).out, /^fake +alive +1 /m)
      assert.match((yield* call(["drain"])).out, /^closed +1\nabandoned +2 \(released/m)
      assert.match((yield* call(["drain"], { terminal: true })).out, /\[-+\] {2}0 of 1 connections gone, 0 s/)
      assert.deepStrictEqual(JSON.parse((yield* call(["drain", "--json"])).out), {
        migrated: 0,
        closed: 1,
        abandoned: 2
      })
      assert.match((yield* call(["rebalance", "--dry-run"])).out, /^would move +0\n\nINSTANCE +CONNECTIONS\nfake +1\n$/)
      assert.strictEqual((yield* call(["disconnect", "x", "--json"])).out, "{}\n")
    })
  )

  it.scopedLive("drain tells how far it is: each connection that left this instance counts, once, and no other", () =>
    Effect.gen(function* () {
      const event = (type: string, connectionId: string, instanceId = "fake", migratefrom = "fake") => ({
        type,
        connectionId,
        instanceId,
        time: new Date(1_700_000_000_000),
        attributes: type === "migrated" ? { migratefrom } : {},
        missed: 0
      })
      const leaving = () => [
        event("migrated", "given"),
        event("migrated", "given"),
        event("disconnected", "closed"),
        event("connected", "staying"),
        // the other side of the move, one that came, and another instance's
        event("migrated", "given", "other"),
        event("migrated", "taken", "fake", "other"),
        event("disconnected", "elsewhere", "other")
      ]
      for (const terminal of [true, false]) {
        const told = leaving()
        const events = yield* Queue.unbounded<ReturnType<typeof event>>()
        const over = yield* Deferred.make<void>()
        const { call } = yield* doors({
          manager: {
            listInstances: Effect.succeed([{ ...instance, connections: 3 }]),
            watch: () => Effect.succeed(Stream.fromQueue(events)),
            drain: () => Effect.as(Deferred.await(over), { migrated: 1, closed: 1, abandoned: 1 })
          }
        })
        // nothing leaves before it was said that nothing has left
        const wrote = (text: string) => {
          if (text.includes("0 of 3")) for (const one of told.splice(0)) events.unsafeOffer(one)
          if (text.includes("2 of 3")) Deferred.unsafeDone(over, Exit.void)
        }
        const { err, out, status } = yield* call(["drain"], { terminal, wrote })
        assert.strictEqual(status, 0)
        const said = Array.from((terminal ? out : err).matchAll(/(\[[#-]+\]|\S+:) +(\d) of 3 connections gone/g))
        assert.deepStrictEqual(said[0]?.slice(1), [terminal ? `[${"-".repeat(40)}]` : "fake:", "0"])
        assert.deepStrictEqual(said.at(-1)?.slice(1), [
          terminal ? `[${"#".repeat(26)}${"-".repeat(14)}]` : "fake:",
          "2"
        ])
      }
    })
  )

  it.scopedLive("every error of the manager is one line with its tag and what to do, and status 1", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      for (const tag of Object.keys(SAMPLE_ERRORS) as ReadonlyArray<ErrorTag>) {
        for (const command of ["get", "tail"]) {
          const ran = yield* call([command, `error:${tag}`])
          assert.deepStrictEqual([ran.status, ran.out], [1, ""], tag)
          assert.match(ran.err, new RegExp(`^wsm: ${tag}: [^\\n]+; [^\\n]+\\n$`))
        }
      }
    })
  )

  it.scopedLive("WSM_API_TOKEN is the token; without it the answer is Unauthenticated", () =>
    Effect.gen(function* () {
      const { call } = yield* doors({ settings: { apiToken: Redacted.make("right") } })
      assert.strictEqual((yield* call(["get", "x"], { env: { WSM_API_TOKEN: "right" } })).status, 0)
      for (const env of [{}, { WSM_API_TOKEN: "wrong" }]) {
        const ran = yield* call(["get", "x"], { env })
        assert.strictEqual(ran.status, 1)
        assert.match(ran.err, /^wsm: Unauthenticated: .*WSM_API_TOKEN/)
      }
    })
  )

  it.scopedLive("a fault of the server is told without its secrets, and is status 1", () =>
    Effect.gen(function* () {
      const { call } = yield* doors()
      const ran = yield* call(["get", "defect"])
      assert.strictEqual(ran.status, 1)
      assert.notInclude(ran.err, "a secret in a defect")
    })
  )

  it.scopedLive("a closed standard output ends a command quietly", () =>
    Effect.gen(function* () {
      const { call, log } = yield* doors()
      const ran = yield* call(["tail", "frames:1000000:10:256"], { closeAfter: 2 })
      assert.deepStrictEqual([ran.status, ran.err], [0, ""])
      assert.isBelow(log.produced, 100_000)
    })
  )

  it.scopedLive("--server goes before WSM_SERVER, and a bad WSM_SERVER is a usage error", () =>
    Effect.gen(function* () {
      const { call, url } = yield* doors()
      assert.strictEqual((yield* call(["get", "x", "--server", url], { env: { WSM_SERVER: "nonsense" } })).status, 0)
      assert.strictEqual((yield* call(["get", "x"], { env: { WSM_SERVER: "nonsense" } })).status, 2)
    })
  )
})

describe("wsm without a manager", () => {
  it.live("says what to do, in one line, with status 1", () =>
    Effect.gen(function* () {
      const ran = yield* wsm(["ls", "--server", "http://127.0.0.1:1"])
      assert.deepStrictEqual([ran.status, ran.out], [1, ""])
      assert.match(ran.err, /^wsm: no manager at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\): start one with [^\n]+\n$/)
    })
  )

  it.live.each([
    "sned",
    "get",
    "get a b",
    "send id text --timeout soon",
    "connect ws://a --tag novalue",
    "connect ws://a --overflow explode",
    "tail id --count 0",
    "ls --server localhost:5001",
    "feed --rate fast",
    "rebalance --max-moves 1.5",
    "--completions cmd"
  ])("%s cannot be read: one line, status 2", (line) =>
    Effect.gen(function* () {
      const ran = yield* wsm(line.split(" "))
      assert.deepStrictEqual([ran.status, ran.out], [2, ""])
      assert.match(ran.err, /^wsm: [^\n]+\n$/)
      assert.notInclude(ran.err, "v:")
    })
  )

  it.live("without a command prints the overview; every command it names has a help of its own", () =>
    Effect.gen(function* () {
      const { out, status } = yield* wsm([])
      assert.strictEqual(status, 0)
      const commands = [...out.matchAll(/^ {2}([a-z-]+) .*$/gm)].map(([, name]) => name!)
      assert.includeMembers(commands, ["serve", "connect", "ls", "tail", "events", "feed", "check-config", "rebalance"])
      assert.strictEqual(commands.length, 19)
      for (const name of commands) {
        const help = yield* wsm([name, "--help"])
        assert.strictEqual(help.status, 0, name)
        assert.match(help.out, new RegExp(`^Usage: wsm ${name} \\[OPTIONS\\]`))
        assert.notInclude(help.out, "\u001b", name)
      }
    })
  )

  it.live("the three lines at the start name the server where it is not the usual one", () =>
    Effect.sync(() => {
      const info = { httpUrl: "http://127.0.0.1:5001", grpcAddress: "127.0.0.1:5002", instanceId: "here" }
      assert.deepStrictEqual(howToTry(info), [
        "websocketmanager is up: http http://127.0.0.1:5001  grpc 127.0.0.1:5002  (instance here)",
        "try:   npx wsm feed   then   npx wsm connect ws://127.0.0.1:8999 --topic demo",
        "then:  npx wsm subscribe demo   ·   npx wsm events   ·   README.md has the rest"
      ])
      const [, connect] = howToTry({ ...info, httpUrl: "http://127.0.0.1:6001" })
      assert.match(connect!, / --topic demo --server http:\/\/127\.0\.0\.1:6001$/)
      const [, , read] = howToTry(info, "dapr")
      assert.notInclude(read!, "subscribe")
      assert.include(read!, "at your broker")
    })
  )

  it.live("serve takes every setting as a flag, by the name of its variable", () =>
    Effect.gen(function* () {
      const { out } = yield* wsm(["serve", "--help"])
      for (const name of ["--http-port V", "--log-level V", "--dapr-host V", "--insecure "]) assert.include(out, name)
    })
  )

  it.live("check-config shows the settings, where each comes from, and no secret", () =>
    Effect.gen(function* () {
      const ran = yield* wsm(["check-config", "--http-port", "6000", "--insecure", "--log-level=debug"], {
        env: { WSM_API_TOKEN: "hidden-token", WSM_HTTP_PORT: "7000", WSM_GRPC_PROT: "1" }
      })
      assert.strictEqual(ran.status, 0)
      assert.match(ran.out, /^WSM_HTTP_PORT +6000 +flag$/m)
      assert.match(ran.out, /^WSM_INSECURE +true +flag$/m)
      assert.match(ran.out, /^WSM_LOG_LEVEL +debug +flag$/m)
      assert.match(ran.out, /^WSM_API_TOKEN +\*\*\* +environment$/m)
      assert.match(ran.out, /^WSM_DATA_DIR +\.wsm +default$/m)
      assert.notInclude(ran.out + ran.err, "hidden-token")
      assert.match(ran.err, /^wsm: warning: WSM_GRPC_PROT .*WSM_GRPC_PORT\?\n$/)
      const { settings } = JSON.parse((yield* wsm(["check-config", "--json"])).out)
      assert.deepStrictEqual(settings.WSM_HTTP_PORT, { value: "5001", source: "default" })
    })
  )

  it.live("a bad setting is one line that names setting, value and rule, with status 1", () =>
    Effect.gen(function* () {
      for (const command of ["check-config", "serve"]) {
        const flag = yield* wsm([command, "--heartbeat-ttl", "1 seconds"])
        assert.deepStrictEqual([flag.status, flag.out], [1, ""])
        assert.match(flag.err, /^wsm: --heartbeat-ttl=1 seconds? [^\n]+must[^\n]+\n$/)
        const variable = yield* wsm([command], { env: { WSM_BACKING: "paper\u001b[2J" } })
        assert.strictEqual(variable.status, 1)
        assert.match(variable.err, /^wsm: WSM_BACKING=paper[^\n\u001b]+must be embedded or dapr\n$/)
      }
    })
  )
})
