/**
 * A real process is given a secret in every place where one may stand, and everything it says and keeps is searched for them, as they
 * are and encoded: log, events, topics, lists, errors, metrics, health, spans, files, and what `wsm` prints.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeAll, expect, it } from "vitest"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { built, spawned } from "../cli/runWsm.js"
import { canary, found } from "../support/Canaries.js"
import { startCollector } from "../support/Collector.js"
import { type Door, DOORS, openDoors, type Reader } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, launch, temporaryFolder, until } from "./instanceProcess.js"

beforeAll(built, 120_000)
afterEach(cleanUp)

const UP = /^websocketmanager is up: http (\S+) {2}grpc (\S+) {2}\(instance (\S+)\)\n/m

/** All that comes from now on. */
const collect = async <Item>(reader: Promise<Reader<Item>>): Promise<Array<Item>> => {
  const items: Array<Item> = []
  const { cancel, next } = await reader
  afterwards(() => cancel().catch(() => {}))
  void (async () => {
    for (let item = await next(); item !== undefined; item = await next()) items.push(item)
  })().catch(() => {})
  return items
}

const shown = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (inner instanceof Uint8Array ? Buffer.from(inner).toString() : inner))

it.each(["json", "pretty"])(
  "no secret is in what a process says and keeps, its log %s at trace",
  { timeout: 120_000 },
  async (format) => {
    // given as references: nowhere, and not in the store either
    const secret = {
      user: canary("user"),
      password: canary("password"),
      path: canary("path"),
      query: canary("query"),
      plainQuery: canary("plainQuery"),
      header: canary("header"),
      whole: canary("whole"),
      subprotocol: canary("subprotocol", false),
      login: canary("login"),
      ping: canary("ping"),
      file: canary("file")
    }
    const settings = {
      token: canary("token"),
      wrongToken: canary("wrongToken"),
      daprToken: canary("daprToken"),
      appToken: canary("appToken"),
      peerSecret: canary("peerSecret"),
      otlp: canary("otlp"),
      otlpHeader: canary("otlpHeader", false),
      otlpAway: canary("otlpAway"),
      keepalive: canary("keepalive"),
      keepaliveQuery: canary("keepaliveQuery"),
      proxy: canary("proxy"),
      misspelt: canary("misspelt")
    }
    // literal values are kept as they were given, and shown nowhere
    const literal = {
      password: canary("literalPassword"),
      query: canary("literalQuery"),
      path: canary("literalPath", false),
      header: canary("literalHeader"),
      subprotocol: canary("literalSubprotocol", false),
      login: canary("literalLogin"),
      ping: canary("literalPing")
    }
    const refusedValue = { url: canary("refusedUrl"), header: canary("refusedHeader"), step: canary("refusedStep") }
    const canaries = { ...secret, ...settings, ...refusedValue, ...literal }

    const collected = await startCollector()
    afterwards(collected.stop)
    const [dir, data] = [temporaryFolder(), temporaryFolder()]
    writeFileSync(join(dir, "of-file"), `${secret.file}\n`)
    const port = await ScriptedServer.start()
    afterwards(() => port.stop())
    const { file: _, ...variables } = secret
    const env = {
      WSM_DATA_DIR: data,
      WSM_INSTANCE_ID: "one",
      WSM_LOG_LEVEL: "trace",
      WSM_LOG_FORMAT: format,
      WSM_SECRETS_DIR: dir,
      ...Object.fromEntries(
        Object.entries(variables).map(([name, value]) => [`WSM_SECRET_VALUE_${name.toUpperCase()}`, value])
      ),
      WSM_API_TOKEN: settings.token,
      DAPR_API_TOKEN: settings.daprToken,
      APP_API_TOKEN: settings.appToken,
      WSM_PEER_SECRET: settings.peerSecret,
      WSM_API_TOKNE: settings.misspelt,
      WSM_KEEPALIVE_URL: `http://me:${encodeURIComponent(settings.keepalive)}@127.0.0.1:1/?k=${encodeURIComponent(settings.keepaliveQuery)}`,
      WSM_KEEPALIVE_MIN: "1 second",
      WSM_KEEPALIVE_MAX: "1 second",
      HTTP_PROXY: `http://me:${encodeURIComponent(settings.proxy)}@127.0.0.1:1`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://me:${encodeURIComponent(settings.otlp)}@127.0.0.1:${collected.port}`,
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `http://me:${encodeURIComponent(settings.otlpAway)}@127.0.0.1:1/v1/metrics`,
      OTEL_EXPORTER_OTLP_HEADERS: `x-key=${settings.otlpHeader}`,
      OTEL_METRIC_EXPORT_INTERVAL: "200",
      OTEL_TRACES_SAMPLER: "always_on"
    }
    const process = await launch(env)
    const [, httpUrl = "", grpcAddress = ""] = await process.line(UP)
    const authorized = { authorization: `Bearer ${settings.token}` }
    await until(async () => (await fetch(`${httpUrl}/health/ready`)).ok, "the instance is ready")
    const doors = openDoors({ httpUrl, grpcAddress }, settings.token)
    const strangers = openDoors({ httpUrl, grpcAddress }, settings.wrongToken)
    for (const door of [...Object.values(doors), ...Object.values(strangers)]) afterwards(() => door.close())
    const ws = doors["rpc-ws"]

    const heard: Array<unknown> = []
    for (const name of ["rpc-ws", "grpc"] as const) heard.push(await collect(doors[name].stream("Watch", {})))
    heard.push(await collect(ws.stream("Subscribe", { topic: "websocketmanager.lifecycle" })))
    const frames = await collect(ws.stream("Subscribe", { topic: "frames" }))
    heard.push(frames)
    /** What a call answers, or why it is refused. */
    const answers: Array<unknown> = []
    const ask = async (door: Door, ...[method, request]: Parameters<Door["call"]>): Promise<any> => {
      const answer: unknown = await door.call(method, request as never).catch((error: unknown) => error)
      answers.push(answer instanceof Error ? { ...answer, message: answer.message } : answer)
      return answer
    }
    const connect = (request: ConnectRequest, door = ws): Promise<any> => ask(door, "Connect", request)

    // a peer that gives the login's secret back, and asks for it again
    port.onFrame = (peer, frame) => {
      const { login } = JSON.parse(frame.toString().startsWith("{") ? frame.toString() : "{}") as { login?: string }
      if (login !== undefined) peer.ws.send(JSON.stringify({ echo: login }))
    }
    const url = (path: string) => port.url.replace("//", "//${secret:user}:${secret:password}@") + path
    const full: ConnectRequest = {
      url: url("/p/${secret:path}?t=${secret:query}&symbol=${secret:plainQuery}"),
      headers: { "x-bearer": "Bearer ${secret:header}", "x-whole": "secret:whole", "x-file": "secret:of-file" },
      subprotocols: ["bearer.${secret:subprotocol}", "other"],
      handshake: [
        { sendText: Buffer.from('{"login":"${secret:login}"}') },
        { expect: { jsonPath: "$.echo", timeoutMs: 5000, capture: { echoed: "$.echo" } } },
        { sendText: Buffer.from("again ${capture:echoed}") }
      ],
      keepAlive: { pingIntervalMs: 100, pingMessage: Buffer.from("ping ${secret:ping}") },
      reconnect: { baseDelayMs: 20, maxDelayMs: 40 },
      topic: "frames",
      tags: { kind: "canary" }
    }
    const ids: Array<string> = []
    for (const name of DOORS) ids.push((await connect(full, doors[name])).id)
    const kept: ConnectRequest = {
      url: `${port.url.replace("//", `//me:${encodeURIComponent(literal.password)}@`)}/${literal.path}?pwd=${encodeURIComponent(literal.query)}&v=1`,
      headers: { "x-bearer": `Bearer ${literal.header}` },
      subprotocols: [`bearer.${literal.subprotocol}`],
      handshake: [{ sendText: Buffer.from(literal.login) }],
      keepAlive: { pingIntervalMs: 100, pingMessage: Buffer.from(literal.ping) },
      reconnect: { baseDelayMs: 20, maxDelayMs: 40 }
    }
    ids.push((await connect(kept)).id)
    expect(ids.filter((id) => typeof id !== "string")).toEqual([])
    await port.until(() => port.peers.length === 4 && port.peers.every(({ frames }) => frames.some((f) => f.data.toString().startsWith("ping ")) || frames.some((f) => f.data.toString() === literal.ping)), 15_000) // prettier-ignore

    // everything went out as it should
    const sent = port.openings.map(({ headers, url }) => [url, JSON.stringify(headers)].join(" ")).join(" ")
    for (const name of ["header", "whole", "file", "subprotocol"] as const)
      expect(found(sent, { [name]: secret[name] })).not.toEqual([])
    expect(sent).toContain(Buffer.from(`${secret.user}:${secret.password}`).toString("base64"))

    // a peer that repeats in the reason of its close what it was sent, as far as it goes on the wire
    const says = async (values: ReadonlyArray<string>, whose: (peer: ScriptedServer["last"]) => boolean) => {
      for (const value of values) {
        const bytes = Buffer.from(value)
        for (const words of [value, encodeURIComponent(value), bytes.toString("base64"), bytes.toString("hex")]) {
          const before = port.peers.length
          const peers = port.peers.filter((peer) => peer.open && whose(peer))
          for (const peer of peers) peer.close(4000, `no: ${words}`.slice(0, 100))
          await port.until(() => port.peers.length >= before + peers.length, 15_000)
        }
      }
    }
    await says(Object.values(secret), ({ headers }) => headers["x-whole"] !== undefined)
    await says(Object.values(literal), ({ headers }) => headers["x-whole"] === undefined)
    // … and in its answers to openings, to whoever waits for them
    const first = { ...full, autoReconnect: false }
    for (const value of Object.values(secret)) {
      for (const bytes of [
        `HTTP/1.1 401 ${value}\r\nWWW-Authenticate: ${value}\r\nRetry-After: ${value}\r\nConnection: close\r\n\r\n${value}`,
        `HTTP/1.1 302 Found\r\nLocation: ws://h/${value}\r\nConnection: close\r\n\r\n`,
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${value}\r\n\r\n`,
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${value}\r\nConnection: Upgrade\r\n\r\n`,
        `${value}\r\n\r\n`
      ]) {
        port.answerRaw(bytes, 1)
        await connect(first, doors["rpc-http"])
      }
      port.onOpen = (peer) => peer.close(4401, value.slice(0, 100))
      await connect(first, doors.grpc)
      port.onOpen = () => {}
    }
    // a peer that will never have us again: what is left of it stands in the lists
    for (const peer of port.peers)
      if (peer.open && peer.headers["x-whole"] !== undefined) peer.close(4401, secret.header)
    await until(
      async () => shown(await ws.call("List", {})).includes("CONNECTION_STATUS_FAILED"),
      "a connection that failed"
    )

    // what is refused, with a secret in the bad field
    const bad: ReadonlyArray<ConnectRequest> = [
      { url: `http://me:${refusedValue.url}@h/` },
      { url: `ws://me:${refusedValue.url}@h/#f` },
      { url: `ws://me:${refusedValue.url} @h/` },
      { url: `ws://h/?t=${refusedValue.url}\u0001` },
      { url: port.url, headers: { "x-a": `${refusedValue.header}\r\n` } },
      { url: port.url, headers: { host: refusedValue.header } },
      {
        url: port.url,
        handshake: [{ sendText: Buffer.concat([Buffer.from(refusedValue.step), Buffer.from([0xff])]) }]
      },
      { url: port.url, headers: { "x-a": "secret:nobody" } },
      { url: "ws://${secret:user}:${secret:password}@127.0.0.1:1/${secret:path}?t=${secret:query}" },
      { url: `wss://\${secret:user}:\${secret:password}@127.0.0.1:${port.port}/\${secret:path}` },
      { url: port.url, subprotocols: ["${secret:header}"] }
    ]
    for (const name of DOORS) {
      for (const request of bad) await connect(request, doors[name])
      await ask(doors[name], "List", { pageSize: 100 })
      for (const id of ids) await ask(doors[name], "Get", { id })
      await ask(strangers[name], "List", {})
    }
    for (const path of ["/metrics", "/health", "/health/ready", "/alive"]) {
      answers.push(await (await fetch(`${httpUrl}${path}`, { headers: authorized })).text())
      answers.push(
        await (await fetch(`${httpUrl}${path}`, { headers: { authorization: `Bearer ${settings.wrongToken}` } })).text()
      )
    }
    // what a person sees
    const asked = { ...env, WSM_SERVER: httpUrl }
    for (const words of [
      ["ls"],
      ["ls", "--json"],
      ["get", ids[0]!],
      ["get", ids[3]!, "--json"],
      ["check-config"],
      ["check-config", "--json"],
      [
        "connect",
        "ws://${secret:user}:${secret:password}@127.0.0.1:1/?t=${secret:query}",
        "--header",
        `A=${literal.header}`
      ]
    ]) {
      // prettier-ignore
      answers.push(await spawned(words, asked))
    }
    answers.push(await spawned(["ls"], { ...asked, WSM_API_TOKEN: settings.wrongToken }))
    await until(() => process.output.err.includes("keep-alive call failed"), "the keep-alive call")
    await until(() => process.output.err.includes("does not take metrics"), "the collector that is away")
    await until(() => collected.text().includes("RpcServer."), "a span")

    process.child.kill("SIGTERM")
    await process.ended
    const files = Buffer.concat(readdirSync(data).map((name) => readFileSync(join(data, name))))
    expect(files.includes("${secret:header}")).toBe(true)
    expect(files.includes(literal.header)).toBe(true)

    const said = {
      log: process.output.err,
      output: process.output.out,
      events: shown(heard),
      answers: shown(answers),
      spans: collected.text()
    }
    for (const [place, text] of Object.entries(said)) {
      expect(text.length, place).toBeGreaterThan(0)
      expect(found(text, canaries), place).toEqual([])
    }
    expect(found(files, { ...secret, ...settings, ...refusedValue }), "files").toEqual([])
    expect(said.events).toContain("bearer.${secret:subprotocol}")
  }
)
