/** Frames, sends, tags, lists and streams of a manager, over real sockets. */
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { Frame } from "../../src/domain/Frame.js"
import type { ReceiveResponse, SubscribeResponse } from "../../src/domain/Messages.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let manager: TestManager
let server: ScriptedServer

beforeEach(async () => {
  server = await ScriptedServer.start()
  manager = await TestManager.start({ settings: { maxConnections: 5 } })
})
afterEach(async () => {
  await manager.stop()
  await server.stop()
})

const connect = async (request: Partial<ConnectRequest> = {}) => {
  const { id } = await manager.run(
    manager.service.connect({ url: server.url, reconnect: { baseDelayMs: 20, maxDelayMs: 40 }, ...request })
  )
  return { id, peer: server.last }
}
const text = (value: string) => Buffer.from(value)
const view = (id: string) => manager.runtime.runSync(manager.service.get(id))

describe("frames", () => {
  it("reach the topic in order, byte for byte, stamped by epoch and sequence", async () => {
    const events = await manager.topic("t")
    const { id, peer } = await connect({ topic: "t" })
    await peer.flood({ count: 5000, size: 64, numbered: true })
    peer.send(Buffer.from([0, 255, 1]))
    await manager.until(() => events.length === 5001, "all frames")
    const frames = events.filter((event): event is Frame => event instanceof Frame)
    expect(frames.map((f) => f.sequence)).toEqual(Array.from({ length: 5001 }, (_, i) => i + 1))
    expect(frames.slice(0, 5000).every((f, i) => f.data.toString("latin1", 0, 8) === String(i).padStart(8, "0"))).toBe(
      true
    )
    expect(frames[5000]).toMatchObject({ binary: true, data: Buffer.from([0, 255, 1]) })
    expect(view(id)).toMatchObject({
      framesReceived: 5001,
      framesPublished: 5001,
      framesDropped: 0,
      contentType: "application/octet-stream"
    })
  })

  it("go on being stamped upward over a reconnect, never twice the same", async () => {
    const events = await manager.topic("t")
    const { id, peer } = await connect({ topic: "t" })
    peer.send("a")
    await manager.until(() => events.length === 1)
    peer.cut()
    await manager.event(id, "connected", 2)
    server.last.send("b")
    await manager.until(() => events.length === 2)
    const stamps = (events as Array<Frame>).map((f) => [f.origin.epoch, f.sequence])
    expect(stamps[1]![0]).toBe(stamps[0]![0])
    expect(stamps.map((s) => s[1])).toEqual([1, 2])
  })

  it("are published only between StartPublish and StopPublish", async () => {
    const first = await manager.topic("one")
    const second = await manager.topic("two")
    const { id, peer } = await connect()
    peer.send("before")
    await manager.until(() => view(id).framesReceived === 1)
    expect(await manager.run(manager.service.startPublish({ id, topic: "one" }))).toMatchObject({ topic: "one" })
    peer.send("1")
    await manager.until(() => first.length === 1)
    await manager.run(manager.service.startPublish({ id, topic: "two" }))
    peer.send("2")
    await manager.until(() => second.length === 1)
    expect(await manager.run(manager.service.stopPublish(id))).toMatchObject({ topic: "" })
    peer.send("after")
    await manager.until(() => view(id).framesReceived === 4)
    expect([...first, ...second].map((e) => (e as Frame).data.toString())).toEqual(["1", "2"])
    expect(manager.types(id).filter((t) => t.includes("publish"))).toEqual([
      "published-to",
      "published-to",
      "unpublished"
    ])
  })

  it("that nobody publishes still reach Receive, and a slow reader is told what it missed", async () => {
    const { id, peer } = await connect()
    const got: Array<ReceiveResponse> = []
    await manager.collect(manager.service.receive(id), (frame) => got.push(frame))
    peer.send("hello")
    await manager.until(() => got.length === 1)
    expect(got[0]).toMatchObject({ sequence: 1, contentType: "text/plain", missed: 0 })
    expect(Buffer.from(got[0]!.data).toString()).toBe("hello")

    const slow = await manager.run(
      Effect.scoped(
        Effect.gen(function* () {
          const stream = yield* manager.service.receive(id)
          yield* Effect.promise(() => peer.flood({ count: 20_000, size: 50 }))
          yield* Effect.promise(() => manager.until(() => view(id).framesReceived === 20_001))
          const { Stream, Chunk } = yield* Effect.promise(async () => ({
            Stream: await import("effect/Stream"),
            Chunk: await import("effect/Chunk")
          }))
          return Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(stream, 16_384)))
        })
      )
    )
    expect(slow[0]!.missed).toBe(20_000 - 16_384)
    expect(slow.at(-1)!.sequence).toBe(20_001)
  })
})

describe("Send and SendRaw", () => {
  it("Send returns the correlated reply, which is neither published nor received", async () => {
    const events = await manager.topic("t")
    server.echo()
    const { id } = await connect({ topic: "t" })
    const reply = await manager.run(manager.service.send({ id, message: text('{"op":"x"}') }))
    expect(JSON.parse(Buffer.from(reply.response).toString())).toMatchObject({ op: "x", id: 1 })
    expect(reply.contentType).toBe("text/plain")
    await manager.run(manager.service.sendRaw({ id, message: text("plain") }))
    await manager.until(() => events.length === 1)
    expect((events[0] as Frame).sequence).toBe(1)
    expect((events[0] as Frame).data.toString()).toBe("plain")
    expect(view(id)).toMatchObject({ framesSent: 2, framesReceived: 1 })
  })

  it("a thousand Sends in flight each get their own reply", async () => {
    server.echo()
    const { id } = await connect()
    const replies = await manager.run(
      Effect.forEach(
        Array.from({ length: 1000 }, (_, i) => i),
        (i) => manager.service.send({ id, message: text(`{"i":${i}}`) }),
        { concurrency: "unbounded" }
      )
    )
    expect(replies.map((r) => JSON.parse(Buffer.from(r.response).toString()).i)).toEqual([...Array(1000).keys()])
  })

  it("Send without a reply is SendTimeout, and the late reply is an ordinary frame", async () => {
    const { id, peer } = await connect()
    const error = await manager.refused(manager.service.send({ id, message: text('{"id":7}'), timeoutMs: 30 }))
    expect(error).toMatchObject({ _tag: "SendTimeout", id })
    peer.send('{"id":7}')
    await manager.until(() => view(id).framesReceived === 1)
  })

  it("Send whose socket is lost is SendAborted, and says that it was sent", async () => {
    const { id, peer } = await connect()
    const call = manager.refused(manager.service.send({ id, message: text("{}") }))
    await server.until(() => peer.frames.length === 1)
    peer.cut()
    expect(await call).toMatchObject({ _tag: "SendAborted", sent: "yes" })
  })

  it("both need an open socket", async () => {
    const { id, peer } = await connect({ autoReconnect: false })
    peer.close(1000)
    await manager.event(id, "disconnected")
    for (const call of [
      manager.service.send({ id, message: text("{}") }),
      manager.service.sendRaw({ id, message: text("x") })
    ]) {
      const error = await manager.refused(call as never)
      expect(error).toMatchObject({ _tag: "ConnectionNotOpen", status: "CONNECTION_STATUS_DISCONNECTED" })
    }
  })
})

describe("tags and lists", () => {
  it("tags are set, read, replaced and deleted, and bounded", async () => {
    const { id } = await connect({ tags: { a: "1" } })
    const { service } = manager
    await Promise.all(["b", "c", "d"].map((key) => manager.run(service.setTag(id, key, key))))
    expect(await manager.run(service.getTags(id))).toEqual({ a: "1", b: "b", c: "c", d: "d" })
    await manager.run(service.deleteTag(id, "a"))
    expect(await manager.run(service.getTag(id, "a"))).toBeUndefined()
    expect(await manager.run(service.getTag(id, "b"))).toBe("b")
    await manager.run(service.setTags(id, { only: "this" }))
    expect(view(id).tags).toEqual({ only: "this" })
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, ""]))
    expect(await manager.refused(service.setTags(id, many))).toMatchObject({ _tag: "InvalidRequest" })
    expect(view(id).tags).toEqual({ only: "this" })
  })

  it("a list is filtered, and paged without a gap or a repetition", async () => {
    const ids: Array<string> = []
    for (let i = 0; i < 5; i++) ids.push((await connect({ tags: { even: String(i % 2 === 0) }, topic: `t${i}` })).id)
    const { service } = manager
    const even = await manager.run(service.list({ filters: [{ key: "even", value: "true" }] }))
    expect(even.connections.map((c) => c.topic)).toEqual(["t0", "t2", "t4"])
    expect((await manager.run(service.list({ topic: "t3" }))).connections.map((c) => c.id)).toEqual([ids[3]])
    expect((await manager.run(service.list({ statuses: ["CONNECTION_STATUS_FAILED"] }))).connections).toEqual([])
    const seen: Array<string> = []
    let pageToken = ""
    do {
      const page = await manager.run(service.list({ pageSize: 2, pageToken }))
      seen.push(...page.connections.map((c) => c.id))
      pageToken = page.nextPageToken
    } while (pageToken !== "")
    expect(seen).toEqual([...ids].sort())
    const first = await manager.run(service.list({ pageSize: 2 }))
    const foreign = await manager.refused(service.list({ topic: "t1", pageToken: first.nextPageToken }))
    expect(foreign).toMatchObject({ _tag: "InvalidRequest", field: "pageToken" })
  })

  it("the sixth of at most five connections is refused", async () => {
    for (let i = 0; i < 5; i++) await connect()
    const error = await manager.refused(manager.service.connect({ url: server.url }))
    expect(error).toMatchObject({ _tag: "QuotaExceeded", quota: "connections" })
  })
})

describe("WSM_MAX_CONNECTIONS", () => {
  it("holds for calls that come together", async () => {
    const calls = Array.from({ length: 20 }, () =>
      Effect.either(manager.service.connect({ url: server.url, awaitOpen: false }))
    )
    const answers = await manager.run(Effect.all(calls, { concurrency: "unbounded" }))
    expect(answers.filter((answer) => answer._tag === "Right")).toHaveLength(5)
    expect(answers.find((answer) => answer._tag === "Left")).toMatchObject({
      left: { _tag: "QuotaExceeded", quota: "connections" }
    })
  })
})

describe("the fleet of one", () => {
  it("Migrate has no target, Rebalance moves nothing, ListInstances shows this one", async () => {
    const { id } = await connect()
    const { service } = manager
    expect(await manager.refused(service.migrate({ id }))).toMatchObject({ _tag: "NoTarget", id })
    const balance = await manager.run(service.rebalance({}))
    expect(balance).toMatchObject({ moved: 0, failed: 0 })
    expect(Object.values(balance.connections)).toEqual([1])
    const [me, ...others] = await manager.run(service.listInstances)
    expect(others).toEqual([])
    expect(me).toMatchObject({ status: "INSTANCE_STATUS_ALIVE" })
  })

  it("Drain releases everything, closes peers with 1001, and takes no new work", async () => {
    const { id, peer } = await connect({ topic: "t" })
    const done = await manager.run(manager.service.drain({}))
    expect(done).toEqual({ migrated: 0, closed: 0, abandoned: 1 })
    await server.until(() => !peer.open)
    expect(peer.closeCode).toBe(1001)
    const error = await manager.refused(manager.service.connect({ url: server.url }))
    expect(error).toMatchObject({ _tag: "InstanceDraining" })
    expect(await manager.run(manager.service.get(id))).toMatchObject({ id, status: "CONNECTION_STATUS_RECONNECTING" })
  })

  it("Drain can wait for connections to close", async () => {
    const { id } = await connect()
    const drained = manager.run(manager.service.drain({ mode: "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE" }))
    await manager.run(manager.service.disconnect({ id }))
    expect(await drained).toEqual({ migrated: 0, closed: 1, abandoned: 0 })
  })
})

describe("Watch and Subscribe", () => {
  it("Watch filters by ids and by tags", async () => {
    const tagged: Array<string> = []
    await manager.collect(manager.service.watch({ filters: [{ key: "a", value: "1" }] }), (e) =>
      tagged.push(e.connectionId)
    )
    await connect()
    const { id } = await connect({ tags: { a: "1" } })
    await manager.until(() => tagged.length === 2)
    expect(new Set(tagged)).toEqual(new Set([id]))
  })

  it("Subscribe gives CloudEvents as they would leave the process", async () => {
    const got: Array<SubscribeResponse> = []
    await manager.collect(manager.service.subscribe("t"), (event) => got.push(event))
    const { id, peer } = await connect({ topic: "t" })
    peer.send("grüße")
    await manager.until(() => got.length === 1)
    const event = JSON.parse(Buffer.from(got[0]!.event).toString())
    expect(event).toMatchObject({
      specversion: "1.0",
      type: "websocketmanager.frame",
      subject: id,
      data: "grüße",
      sequence: "1",
      datacontenttype: "text/plain",
      connectionid: id,
      connectionurl: server.url
    })
    expect(event.id).toBe(`${id}:${event.epoch}:1`)
  })

  it("lifecycle events reach their topic", async () => {
    const events = await manager.topic("websocketmanager.lifecycle")
    const { id } = await connect()
    // the instance's own events may come first
    const names = () => events.flatMap((e) => (e.kind === "lifecycle" && e.connectionId === id ? [e.name] : []))
    await manager.until(() => names().length >= 2)
    expect(names()).toEqual(["connecting", "connected"])
    expect(events.every((e) => e.kind === "lifecycle")).toBe(true)
  })
})
