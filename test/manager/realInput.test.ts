/** What real peers do to a connection, through the whole manager: refuse, stall, fall silent, break the protocol, close. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { Frame } from "../../src/domain/Frame.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { afterwards, cleanUp, temporaryFolder } from "../process/instanceProcess.js"
import { type Peer, ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let manager: TestManager
let server: ScriptedServer
let secretsDir: string

const RECONNECT = { baseDelayMs: 20, maxDelayMs: 400, stableAfterMs: 60_000 }

beforeAll(async () => {
  secretsDir = temporaryFolder()
  manager = await TestManager.start({ settings: { secretsDir } })
  afterwards(() => manager.stop())
})
afterAll(cleanUp)
beforeEach(async () => {
  server = await ScriptedServer.start()
})
afterEach(async () => {
  const { connections } = await manager.run(manager.service.list({}))
  await Promise.all(connections.map(({ id }) => manager.run(manager.service.disconnect({ id }))))
  await server.stop()
})

const connect = async (request: Partial<ConnectRequest> = {}) => {
  const { id } = await manager.run(manager.service.connect({ url: server.url, reconnect: RECONNECT, ...request }))
  return { id, peer: server.peers.at(-1)! }
}
const refused = (request: Partial<ConnectRequest> = {}) =>
  manager.refused(manager.service.connect({ url: server.url, reconnect: RECONNECT, ...request }))
const view = (id: string) => manager.runtime.runSync(manager.service.get(id))
const delays = (id: string) =>
  manager.events
    .filter((event) => event.connectionId === id && event.type === "reconnecting")
    .map((event) => Number(event.attributes["delayms"]))

describe("an opening that comes to nothing fails the Connect, and keeps nothing", () => {
  it.each([
    ["a status", () => server.refuse(500), { kind: "http", httpStatus: 500 }],
    ["a redirect", () => server.refuse(302, { Location: "ws://127.0.0.1:1/" }), { kind: "http", httpStatus: 302 }],
    ["no HTTP", () => server.answerRaw("what?\r\n\r\n"), { kind: "http" }],
    ["a cut", () => server.cutOpening(), { kind: "http" }],
    ["a stall", () => server.stallOpening(), { kind: "timeout" }]
  ])("%s", async (_what, script, expected) => {
    script()
    const error = await refused({ reconnect: { ...RECONNECT, dialTimeoutMs: 300 } })
    expect(error).toMatchObject({ _tag: "DialFailed", ...expected })
    await server.until(() => server.rawSockets() === 0)
    expect(server.openings.length).toBe(1)
    expect((await manager.run(manager.service.list({}))).connections).toEqual([])
  })

  it("a port where nobody listens", async () => {
    await server.stop()
    expect(await refused()).toMatchObject({ _tag: "DialFailed", kind: "refused" })
  })

  it("a peer that opens and then says nothing to the login", async () => {
    const handshake = [{ sendText: Buffer.from("login") }, { expect: { timeoutMs: 200 } }]
    expect(await refused({ handshake })).toMatchObject({ _tag: "DialFailed", kind: "handshake" })
    await server.until(() => server.peers.length === 1 && !server.last.open)
    expect(server.last.texts).toEqual(["login"])
  })

  it("a peer that closes during the login is judged by its code", async () => {
    server.onOpen = (peer) => peer.close(4401, "no")
    const { id } = await connect({ awaitOpen: false, handshake: [{ expect: { timeoutMs: 2000 } }] })
    await manager.event(id, "failed")
    expect(view(id)).toMatchObject({ status: "CONNECTION_STATUS_FAILED", lastCloseCode: 4401 })
  })
})

describe("a peer that falls silent", () => {
  it("half-open, is found by the clock for any frame, and dialled again", async () => {
    const { id, peer } = await connect({ keepAlive: { pingIntervalMs: 100, deadAfterMs: 400 } })
    await server.until(() => peer.pings >= 2)
    peer.stopReading()
    const error = await manager.event(id, "error")
    expect(error.attributes["error"]).toBe("DeadPeer")
    await manager.event(id, "connected", 2)
    await manager.event(id, "gap")
    expect(server.last).not.toBe(peer)
  })

  it("but for pongs, is found by the clock for data", async () => {
    const { id, peer } = await connect({ keepAlive: { pingIntervalMs: 100, deadAfterMs: 5000, idleAfterMs: 400 } })
    const error = await manager.event(id, "error")
    expect(error.attributes["error"]).toBe("IdleFeed")
    expect(peer.pings).toBeGreaterThan(1)
    await manager.event(id, "connected", 2)
  })
})

describe("a close", () => {
  const cases: ReadonlyArray<readonly [what: string, act: (peer: Peer) => void, code: number, then: string]> = [
    ...[1000, 1001, 1002, 1003, 1007, 1009, 1010, 1011, 1012, 1014, 3001, 4000, 4001, 4999].map(
      (code) => [String(code), (peer: Peer) => peer.close(code), code, "usual"] as const
    ),
    ["without a code", (peer) => peer.close(), 1006, "usual"],
    ["by a cut", (peer) => peer.cut(), 1006, "usual"],
    ["with a code that must not be sent", (peer) => peer.closeRaw(1005), 1002, "usual"],
    ...[1008, 1013, 4008, 4029, 4408, 4409, 4429].map(
      (code) => [String(code), (peer: Peer) => peer.close(code), code, "slow"] as const
    ),
    ...[3000, 3003, 4004, 4010, 4011, 4012, 4013, 4014, 4400, 4401, 4403, 4406].map(
      (code) => [String(code), (peer: Peer) => peer.close(code, "why"), code, "failed"] as const
    )
  ]

  it("is followed by what the table says for its code, for every code at once", async () => {
    const open = await Promise.all(
      cases.map(async ([what, act, code, then]) => {
        const opened = server.peers.length
        const { id } = await connect({ url: `${server.url}/${encodeURIComponent(what)}` })
        expect(server.peers.length).toBeGreaterThan(opened)
        const peer = server.peers.find(({ url }) => url === `/${encodeURIComponent(what)}`)!
        return { act, code, id, peer, then, what }
      })
    )
    for (const { act, peer } of open) act(peer)
    await Promise.all(
      open.map(async ({ code, id, then, what }) => {
        const next = await manager.event(id, then === "failed" ? "failed" : "reconnecting")
        expect(next.attributes["closecode"], what).toBe(String(code))
        if (then === "failed")
          return expect(view(id), what).toMatchObject({ lastCloseCode: code, status: `CONNECTION_STATUS_FAILED` })
        const [delay] = delays(id)
        if (then === "slow") expect(delay, what).toBeGreaterThanOrEqual(200)
        else expect(delay, what).toBeLessThanOrEqual(30)
        await manager.event(id, "connected", 2)
        return expect(view(id).lastCloseCode, what).toBe(code)
      })
    )
    const failed = cases.filter(([, , , then]) => then === "failed").length
    expect(server.peers.length).toBe(2 * cases.length - failed)
  })

  it("is ours for what no peer may send: the code on the wire is told, and the connection is dialled again", async () => {
    const offences: ReadonlyArray<readonly [code: number, act: (peer: Peer) => void]> = [
      [1007, (peer) => peer.sendInvalidUtf8()],
      [1009, (peer) => peer.send("x".repeat(1025))],
      [1002, (peer) => peer.raw(Buffer.from([0x83, 0]))]
    ]
    for (const [code, act] of offences) {
      const { id, peer } = await connect({ maxMessageBytes: 1024, topic: "t" })
      act(peer)
      await server.until(() => !peer.open)
      expect(peer.closeCode).toBe(code)
      expect((await manager.event(id, "error")).attributes["error"]).toBe("ProtocolError")
      expect((await manager.event(id, "reconnecting")).attributes["closecode"]).toBe(String(code))
      await manager.event(id, "connected", 2)
      expect(view(id)).toMatchObject({ lastCloseCode: code, framesReceived: 0 })
    }
  })
})

describe("a frame", () => {
  it("in fragments, with a ping between them, arrives as one; the largest that is allowed arrives whole", async () => {
    const events = await manager.topic("fragments")
    const { peer } = await connect({ topic: "fragments", maxMessageBytes: 1024 })
    peer.sendFragmented(["grü", "ß", "e", ""])
    peer.send("x".repeat(1024))
    peer.send(Buffer.alloc(0))
    await manager.until(() => events.length === 3, "three frames")
    expect((events as Array<Frame>).map(({ binary, data }) => [binary, data.toString()])).toEqual([
      [false, "grüße"],
      [false, "x".repeat(1024)],
      [true, ""]
    ])
    await server.until(() => peer.pongs === 1)
    expect(peer.open).toBe(true)
  })
})

describe("the login", () => {
  it("is replayed after each open, with what this peer said and the secret of now, and takes no sequence", async () => {
    writeFileSync(join(secretsDir, "key"), "first\n")
    const events = await manager.topic("login")
    let sessions = 0
    server.onOpen = (peer) => {
      peer.send("hello")
      peer.send(JSON.stringify({ type: "welcome", data: { session: `s${++sessions}` } }))
    }
    server.onFrame = (peer, data) => {
      const { op, session } = JSON.parse(data.toString()) as { op: string; session?: string }
      if (op === "login") peer.send(JSON.stringify({ type: "ack", session }))
      if (op === "subscribe") peer.send(`feed of ${server.peers.indexOf(peer) + 1}`)
    }
    const { id } = await connect({
      topic: "login",
      handshake: [
        { expect: { jsonPath: "$.type", equals: "welcome", timeoutMs: 2000, capture: { session: "$.data.session" } } },
        { sendText: Buffer.from('{"op":"login","session":"${capture:session}","key":"${secret:key}"}') },
        { expect: { jsonPath: "$.session", timeoutMs: 2000 } },
        { sendText: Buffer.from('{"op":"subscribe"}') }
      ]
    })
    const said = (peer: Peer) => peer.texts.map((text) => JSON.parse(text) as unknown)
    const login = (session: string, key: string) => [{ op: "login", session, key }, { op: "subscribe" }]
    await server.until(() => server.last.frames.length === 2)
    expect(said(server.peers[0]!)).toEqual(login("s1", "first"))

    writeFileSync(join(secretsDir, "key"), "second")
    await server.restart()
    await manager.event(id, "connected", 2)
    await server.until(() => server.last.frames.length === 2)
    expect(said(server.last)).toEqual(login(`s${sessions}`, "second"))
    await manager.until(() => events.some((e) => (e as Frame).data.toString() === `feed of ${server.peers.length}`))
    const frames = events as Array<Frame>
    // what no step waited for is an ordinary frame
    expect(frames.map(({ data, sequence }) => [sequence, data.toString()])).toEqual([
      [1, "hello"],
      [2, "feed of 1"],
      [3, "hello"],
      [4, `feed of ${server.peers.length}`]
    ])
  })
})

describe("the dial budget", () => {
  it("holds at the peer: a burst of one second's share, then the rate, for Connects and for redials alike", async () => {
    const limited = await TestManager.start({ settings: { dialRatePerHost: 20, heartbeatTtl: Duration.seconds(6) } })
    try {
      await limited.run(
        Effect.forEach(
          Array.from({ length: 40 }),
          () => limited.service.connect({ url: server.url, reconnect: RECONNECT }),
          {
            concurrency: "unbounded"
          }
        )
      )
      await server.restart()
      await server.until(() => server.openings.length === 80, 10_000)
      const times = server.openings.map(({ at }) => at)
      // 45 dials are the burst of 20 and 25 more at 20 a second: 1.25 seconds, less what some were noticed late
      for (let i = 44; i < times.length; i++) expect(times[i]! - times[i - 44]!).toBeGreaterThan(600)
      expect(times.at(-1)! - times[0]!).toBeGreaterThan(2000)
    } finally {
      await limited.stop()
    }
  })
})
