/**
 * A peer answers with frames that are made to cost: as large as a frame may be, as deep, as many values, as large as what is
 * looked into. The manager is a process of its own, so that its event loop's lag is its own.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { start } from "../cli/runWsm.js"
import { type Door, openDoors, until } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { bytes, connect, get } from "./doorConnections.js"

const MIB = 1024 * 1024
const MAX_LAG_SECONDS = 0.8
const SERVE = ["serve", "--http-port", "0", "--grpc-port", "0", "--data-dir", "", "--log-level", "error"]

const repeated = (size: number, head: string, part: string, tail = ""): string =>
  head + part.repeat(Math.floor((size - head.length - tail.length) / part.length)) + tail
const SHAPES: ReadonlyArray<readonly [what: string, frame: (size: number) => string]> = [
  ["arrays inside each other", (size) => "[".repeat(size / 2) + "]".repeat(size / 2)],
  ["empty objects", (size) => repeated(size, "[", "{},", "{}]")],
  ["one name again and again", (size) => repeated(size, "{", '"id":[],', '"x":0}')],
  ["names in escapes", (size) => repeated(size, "{", '"\\u0069d":{},', '"x":0}')],
  ["objects inside each other, never closed", (size) => repeated(size, "", '{"id":')]
]

let manager: Awaited<ReturnType<typeof start>>
let peers: ScriptedServer
let door: Door
let httpUrl = ""
let neighbour: Awaited<ReturnType<typeof connect>>

const lag = async (): Promise<number> => {
  const metrics = await (await fetch(`${httpUrl}/metrics`)).text()
  return Number(/^websocketmanager_event_loop_lag_seconds (\S+)$/m.exec(metrics)![1])
}

vi.setConfig({ testTimeout: 120_000 })
beforeAll(async () => {
  ;[manager, peers] = await Promise.all([start(SERVE), ScriptedServer.start({ compression: true })])
  const [, url, grpcAddress] = await manager.line(/http (\S+) {2}grpc (\S+) /)
  httpUrl = url!
  door = openDoors({ httpUrl, grpcAddress: grpcAddress! }).grpc
  neighbour = await connect(door, peers, "/neighbour")
}, 60_000)
afterAll(async () => {
  await door.close()
  manager.child.kill("SIGKILL")
  await peers.stop()
})

describe.each(SHAPES)("frames of %s", (_what, frame) => {
  it("do not stop the event loop while a Send waits or a login goes on, and the neighbour stays open", async () => {
    await until(async () => (await lag()) < MAX_LAG_SECONDS, "the lag of before is forgotten", 30_000)
    const json = await connect(door, peers, "/json", { compression: true })
    const login = await door.call("Connect", {
      url: `${peers.url}/login`,
      awaitOpen: false,
      compression: true,
      handshake: [{ expect: { jsonPath: "$.id", capture: { x: "$.x" }, timeoutMs: 60_000 } }]
    })
    const sends = ["CORRELATION_MODE_JSON_FIELD", "CORRELATION_MODE_ENVELOPE"] as const
    const replies = sends.map((mode) =>
      door.call("Send", { id: json.id, message: bytes('{"id":"mine"}'), correlation: { mode }, timeoutMs: 100_000 })
    )
    await peers.until(() => json.peer.frames.length === 2 && peers.peers.some(({ url }) => url === "/login"))
    const peer = peers.peers.findLast(({ url }) => url === "/login")!
    for (const size of [16 * MIB, MIB, 16 * MIB, MIB]) {
      json.peer.send(frame(size))
      peer.send(frame(size))
    }
    // what comes behind them is a reply, and the end of the login, as ever
    json.peer.send('{"id":"mine"}')
    const [first] = await Promise.all(replies.slice(0, 1))
    expect(Buffer.from(first!.response).toString()).toBe('{"id":"mine"}')
    json.peer.send(
      `{"id":${JSON.parse(json.peer.frames.find(({ data }) => String(data).includes("message"))!.data.toString()).id},"payload":1}`
    )
    expect(Buffer.from((await replies[1]!).response).toString()).toBe("1")
    peer.send('{"id":1,"x":2}')
    await until(async () => (await get(door, login.id)).status === "CONNECTION_STATUS_CONNECTED", "the login is done")
    expect(await lag()).toBeLessThan(MAX_LAG_SECONDS)
    expect((await get(door, json.id)).framesReceived).toBe(4)
    expect([neighbour.peer.open, peers.peers.filter(({ url }) => url === "/neighbour").length]).toEqual([true, 1])
    await Promise.all([json.id, login.id].map((id) => door.call("Disconnect", { id })))
  })
})
