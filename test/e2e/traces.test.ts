/** One trace from a call at any door to the frame that goes out and the operations of the state store that it costs. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { type Door, type DoorName, DOORS, startServer, type TestServer } from "../support/Doors.js"
import type { ScriptedServer } from "../support/ScriptedServer.js"
import { type Collected, SpanCollector } from "../support/SpanCollector.js"
import { startFleet } from "./serverFleet.js"
import { bytes, startPeer } from "./doorConnections.js"

let peers: ScriptedServer
beforeAll(async () => {
  peers = await startPeer()
})
afterAll(() => peers.stop())

const AT: Readonly<Record<DoorName, string>> = { "rpc-ws": "RpcServer.", "rpc-http": "RpcServer.", grpc: "Grpc." }

let callers = 0
/** A caller's own span, each time another. */
const caller = () => ({
  traceId: (++callers).toString(16).padStart(32, "a"),
  spanId: callers.toString(16).padStart(16, "b")
})

const names = (spans: ReadonlyArray<Collected>) => spans.map(({ name }) => name)

/** Connects and sends, each as one caller; the spans that came of it. */
const traced = async (spans: SpanCollector, connectAt: Door, sendAt: Door = connectAt) => {
  const [connecting, sending, watching] = [caller(), caller(), caller()]
  const { id } = await connectAt.call("Connect", { url: `${peers.url}/echo` }, { span: connecting })
  await sendAt.call(
    "Send",
    { id, message: bytes("hello"), correlation: { mode: "CORRELATION_MODE_NEXT" } },
    { span: sending }
  )
  await sendAt.call("ListInstances", {}, { span: watching })
  return { id, connect: spans.ofTrace(connecting.traceId), send: spans.ofTrace(sending.traceId) }
}

describe("a trace", () => {
  const spans = new SpanCollector()
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({}, spans.layer)
  })
  afterAll(() => server.stop())

  it.each(DOORS)("begins with the caller's span, over %s, and has what the call cost", async (name) => {
    const { connect, id, send } = await traced(spans, server.doors[name])
    expect(names(connect)).toContain(`${AT[name]}Connect`)
    const writes = connect.filter((span) => span.name.startsWith("state."))
    expect(writes.map(({ attributes }) => attributes.get("key"))).toContain(connectionKey(id))
    expect(names(connect)).toContain("connection.open")
    for (const span of connect) expect(spans.isWithin(span, `${AT[name]}Connect`), span.name).toBe(true)

    const out = send.find((span) => span.name === "socket.send")!
    expect(Object.fromEntries(out.attributes)).toEqual({ connection: id, bytes: 5 })
    expect(spans.isWithin(out, `${AT[name]}Send`)).toBe(true)
  })

  it("is made of calls alone: what the instance does by itself has none, nor what it goes on with after a call", async () => {
    const before = spans.spans.length
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(names(spans.spans.slice(before))).toEqual([])
  })
})

it("goes on at the owner, where the call is passed on", async () => {
  const spans = { a: new SpanCollector(), b: new SpanCollector() }
  const fleet = await startFleet(["a", "b"], {}, (id) => spans[id as "a" | "b"].layer)
  try {
    const [a, b] = fleet.servers as [TestServer, TestServer]
    const sending = caller()
    const { id } = await a.doors.grpc.call("Connect", { url: `${peers.url}/echo` })
    const request = { id, message: bytes("hello"), correlation: { mode: "CORRELATION_MODE_NEXT" as const } }
    await b.doors.grpc.call("Send", request, { span: sending })
    expect(names(spans.b.ofTrace(sending.traceId))).toContain("Grpc.Send")
    expect(names(spans.a.ofTrace(sending.traceId))).toEqual(expect.arrayContaining(["Peer.PeerSend", "socket.send"]))
  } finally {
    await fleet.stop()
  }
})
