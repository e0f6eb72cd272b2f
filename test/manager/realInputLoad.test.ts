/** Too much of it: floods with each overflow rule, peers that do not read, a topic that is slow. The judge is Accounting. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Frame } from "../../src/domain/Frame.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { Accounting, type AccountingOptions } from "../support/Accounting.js"
import * as FaultyPubSub from "../support/FaultyPubSub.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let bus: FaultyPubSub.FaultyPubSub
let manager: TestManager
let server: ScriptedServer

beforeEach(async () => {
  bus = FaultyPubSub.make()
  server = await ScriptedServer.start()
  manager = await TestManager.start({ pubSub: bus.layer, settings: { drainTimeout: Duration.seconds(1) } })
})
afterEach(async () => {
  bus.heal()
  await manager.stop()
  await server.stop()
})

const connect = async (request: Partial<ConnectRequest> = {}) => {
  const { id } = await manager.run(manager.service.connect({ url: server.url, topic: "t", ...request }))
  return { id, peer: server.last }
}
const view = (id: string) => manager.runtime.runSync(manager.service.get(id))
const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))
const gaps = (id: string) => manager.events.filter((event) => event.connectionId === id && event.type === "gap")
const lost = (id: string) => gaps(id).reduce((sum, { attributes }) => sum + Number(attributes["lost"]), 0)

/** Everything a flood of numbered frames sends, as `ScriptedServer` writes it. */
const numbered = (count: number, size: number) =>
  Array.from({ length: count }, (_, i) => String(i).padStart(8, "0").padEnd(size, "x"))

/** What the judge says of a connection that was sent this. */
const problems = (id: string, sent: ReadonlyArray<string>, options: AccountingOptions = {}) => {
  const accounting = new Accounting(options)
  for (const payload of sent) accounting.sent(id, payload)
  for (const event of bus.eventsOf("t")) accounting.received(event)
  for (const { attributes } of gaps(id)) accounting.gap(id, attributes["lost"]!)
  return accounting.problems()
}

describe("a flood against a slow broker", () => {
  it("with PAUSE stops the peer, in bounded memory, and loses nothing", async () => {
    const { id, peer } = await connect({ buffer: { maxFrames: 500, overflow: "OVERFLOW_PAUSE" } })
    bus.unavailable = true
    let done = false
    const [count, size] = [30_000, 700]
    const flood = peer.flood({ count, size, numbered: true }).then(() => (done = true))
    await manager.until(() => view(id).framesReceived >= 500, "the buffer is full")
    await sleep(500)
    const { framesReceived } = view(id)
    await sleep(200)
    expect(view(id).framesReceived).toBe(framesReceived)
    // what the socket had in hand when it was paused may come on top
    expect(framesReceived).toBeLessThan(2000)
    expect(done).toBe(false)
    bus.heal()
    await flood
    await manager.until(() => view(id).framesPublished === count, "all frames", 15_000)
    expect(view(id)).toMatchObject({ framesReceived: count, framesDropped: 0 })
    expect(problems(id, numbered(count, size))).toEqual([])
    expect(gaps(id)).toEqual([])
    expect(peer.open).toBe(true)
  })

  it.each([
    ["OVERFLOW_DROP_OLDEST", 4999],
    ["OVERFLOW_DROP_NEWEST", 0]
  ] as const)("with %s goes on reading, and every frame is published or reported", async (overflow, survives) => {
    const { id, peer } = await connect({ buffer: { maxFrames: 200, overflow } })
    bus.unavailable = true
    const [count, size] = [5000, 100]
    await peer.flood({ count, size, numbered: true })
    await manager.until(() => view(id).framesReceived === count, "all frames")
    bus.heal()
    await manager.until(() => view(id).framesPublished + view(id).framesDropped === count, "all accounted for")
    await manager.until(() => lost(id) === view(id).framesDropped, "all reported")
    expect(view(id).framesDropped).toBe(count - 200)
    for (const { attributes } of gaps(id)) expect(attributes["cause"]).toBe("overflow")
    expect(problems(id, numbered(count, size))).toEqual([])
    const kept = bus.eventsOf("t").map((event) => Number((event as Frame).data.toString("latin1", 0, 8)))
    expect(kept).toContain(survives)
    expect(gaps(id).length).toBeLessThanOrEqual(5)
  })

  it("with some of everything failing now and then is still in order and complete", async () => {
    const { id, peer } = await connect({ buffer: { maxFrames: 1000, overflow: "OVERFLOW_PAUSE" } })
    const tried = new Set<number>()
    bus.failEntry = (event) => {
      if (event.kind !== "frame") return undefined
      if (event.sequence % 1999 === 0) return { transient: false }
      if (event.sequence % 499 !== 0 || tried.has(event.sequence)) return undefined
      tried.add(event.sequence)
      return { transient: true }
    }
    bus.loseResponse(1)
    const [count, size] = [8000, 64]
    await peer.flood({ count, size, numbered: true })
    await manager.until(() => view(id).framesPublished + view(id).framesDropped === count, "all accounted for", 15_000)
    await manager.until(() => lost(id) === view(id).framesDropped, "all reported")
    expect(view(id).framesDropped).toBe(4)
    for (const { attributes } of gaps(id)) expect(attributes["cause"]).toBe("publish")
    // this bus takes the rest of a batch in which one entry fails: that rest is repeated behind it
    expect(problems(id, numbered(count, size), { behindRepeats: true })).toEqual([])
  })
})

describe("a slow topic", () => {
  it("never delays another one, nor another connection", async () => {
    bus.slow.set("slow", Duration.millis(300))
    const slow = await connect({ topic: "slow" })
    const hanging = await connect({ topic: "hanging" })
    bus.hanging.add("hanging")
    const fast = await connect({ topic: "fast" })
    slow.peer.send("1")
    hanging.peer.send("1")
    for (let i = 0; i < 20; i++) {
      const before = Date.now()
      fast.peer.send(String(i))
      slow.peer.send(String(i))
      await manager.until(() => bus.eventsOf("fast").length === i + 1, "the fast frame")
      expect(Date.now() - before).toBeLessThan(250)
    }
    await manager.until(() => bus.eventsOf("slow").length === 21, "the slow frames")
    expect(bus.eventsOf("slow").map((event) => (event as Frame).sequence)).toEqual(
      Array.from({ length: 21 }, (_, i) => i + 1)
    )
    expect(bus.eventsOf("hanging")).toEqual([])
    expect(view(hanging.id)).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", framesReceived: 1 })
  })
})

describe("a broker that never answers", () => {
  it("does not hold up a drain beyond its timeout", async () => {
    const { id, peer } = await connect()
    bus.hanging.add("t")
    peer.send("1")
    await manager.until(() => view(id).framesReceived === 1, "the frame")
    const began = Date.now()
    const drained = await manager.run(manager.service.drain({ timeoutMs: 500 }))
    expect(drained).toEqual({ migrated: 0, closed: 0, abandoned: 1 })
    expect(Date.now() - began).toBeLessThan(4000)
    await server.until(() => !peer.open)
    expect(peer.closeCode).toBe(1001)
  })
})

describe("a peer that does not read", () => {
  it("fills its own queue until BufferFull, and its neighbour does not notice", async () => {
    const stuck = await connect()
    const neighbour = await connect()
    server.onFrame = (peer, data, binary) => {
      if (peer === neighbour.peer) peer.ws.send(data, { binary })
    }
    stuck.peer.stopReading()
    const message = Buffer.alloc(64 * 1024, "x")
    let full = 0
    let taken = 0
    const pushes = manager.run(
      Effect.forEach(
        Array.from({ length: 300 }),
        () =>
          manager.service.sendRaw({ id: stuck.id, message }).pipe(
            Effect.match({
              onFailure: (error) => {
                expect(error).toMatchObject({ _tag: "BufferFull" })
                full++
              },
              onSuccess: () => void taken++
            })
          ),
        { concurrency: "unbounded", discard: true }
      )
    )
    await manager.until(() => full > 0, "BufferFull")
    for (let i = 0; i < 20; i++) {
      const reply = await manager.run(
        manager.service.send({ id: neighbour.id, message: Buffer.from(`{"n":${i}}`), timeoutMs: 1000 })
      )
      expect(Buffer.from(reply.response).toString()).toContain(`"n":${i}`)
    }
    expect(view(stuck.id).status).toBe("CONNECTION_STATUS_CONNECTED")
    stuck.peer.resumeReading()
    await pushes
    expect(taken + full).toBe(300)
    await server.until(() => stuck.peer.frames.length === taken)
    expect(stuck.peer.frames.every(({ data }) => data.equals(message))).toBe(true)
    expect(view(stuck.id).framesSent).toBe(taken)
  })
})
