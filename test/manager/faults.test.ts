/** What a connection does to whoever handles it is its own: neighbours, the process and the store do not notice. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { FEED } from "../../src/domain/Limits.js"
import { ClientWrapper, layer as clientLayer } from "../../src/socket/ClientWrapper.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"
import { alone } from "./alone.js"

/** Works for so long, in processor time: other processes may have the machine meanwhile. */
const work = (ms: number): void => {
  const began = process.cpuUsage()
  let used = { user: 0, system: 0 }
  do used = process.cpuUsage(began)
  while (used.user + used.system < ms * 1000)
}

/** The real client, whose frames throw where they say so: a defect that nobody has found yet. */
const defective = Layer.effect(
  ClientWrapper,
  Effect.map(ClientWrapper, (client) => ({
    ...client,
    dial: ((target, route, handlers, mayTry) =>
      client.dial(
        target,
        route,
        {
          onOpen: (wire) => handlers.onOpen(wire),
          onFrame: (data, binary) => {
            if (data.toString() === "defect") throw new TypeError("secret=hunter2 is not a function")
            if (data.toString() === "dear") work(FEED.TURN_MS + 50)
            handlers.onFrame(data, binary)
          },
          onHeldUp: (heldUp) => handlers.onHeldUp(heldUp),
          onTooExpensive: (ms) => handlers.onTooExpensive(ms),
          onControl: () => handlers.onControl(),
          onEnd: (end) => handlers.onEnd(end)
        },
        mayTry
      )) satisfies ClientWrapper["Type"]["dial"]
  }))
).pipe(Layer.provide(clientLayer()))

describe("a defect in handling one connection", () => {
  it("is told as Fault, closes with 1011 and is dialled again slowly, and its neighbour goes on", async (context) => {
    const { connect, manager, server } = await alone(context, { client: defective })
    const neighbour = await connect({ topic: "beside" })
    const beside = server.last
    const { id } = await connect({ reconnect: { baseDelayMs: 1, maxDelayMs: 1000 } })
    server.last.send("defect")
    const error = await manager.event(id, "error")
    expect(error.attributes).toMatchObject({ error: "Fault", message: "TypeError while the connection was handled" })
    const again = await manager.event(id, "reconnecting")
    expect(again.attributes).toMatchObject({ closecode: "1011" })
    expect(Number(again.attributes["delayms"])).toBeGreaterThanOrEqual(500)
    expect(server.peers[1]!.closeCode).toBe(1011)
    await manager.event(id, "connected", 2)
    expect(JSON.stringify(manager.events)).not.toContain("hunter2")
    const published = await manager.topic("beside")
    beside.send("goes on")
    await manager.until(() => published.length === 1, "the neighbour's frame is published")
    expect(manager.types(neighbour.id)).not.toContain("error")
  })
})

describe("a connection whose frames take too long", () => {
  it("is told of twice, then FAILED and quarantined, whatever it does, until Reconnect", async (context) => {
    const { connect, manager, server } = await alone(context, { client: defective })
    const { id } = await connect()
    const shown = () => manager.run(manager.service.get(id))
    const told = () => manager.events.filter(({ attributes }) => attributes["error"] === "TooExpensive").length
    for (const n of [1, 2]) {
      server.last.send("dear")
      await manager.until(() => told() === n, `it is told of ${n} times`)
      // it counts over a reconnect: the peer may cut in between
      server.last.cut()
      await manager.event(id, "connected", n + 1)
    }
    server.last.send("dear")
    expect((await manager.event(id, "failed")).attributes).toMatchObject({ reason: "quarantined", closecode: "1008" })
    expect(await shown()).toMatchObject({ status: "CONNECTION_STATUS_FAILED" })
    expect((await shown()).lastError).toMatch(/^quarantined: TooExpensive: its frames took \d+ ms/)
    expect(server.connections()).toBe(0)
    await manager.run(manager.service.reconnect(id))
    expect(await shown()).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED" })
    server.last.send("dear")
    await manager.until(() => told() === 4, "the count begins anew")
    expect(await shown()).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED" })
  })

  it("at its login is quarantined too, and its caller is told", async (context) => {
    const { connect, manager, server } = await alone(context, { client: defective })
    server.onOpen = (peer) => peer.send("dear")
    const { id } = await connect({
      awaitOpen: false,
      handshake: [{ expect: { equals: "never", timeoutMs: 300 } }]
    })
    await manager.until(() => manager.types(id).includes("failed"), "it is given up", 15_000)
    // one dial each time, but where the login's own time was over before the frame came
    const told = manager.events.filter(({ attributes }) => attributes["error"] === "TooExpensive")
    expect(told).toHaveLength(3)
    expect((await manager.event(id, "failed")).attributes).toMatchObject({ reason: "quarantined" })
    expect(await manager.run(manager.service.get(id))).toMatchObject({ status: "CONNECTION_STATUS_FAILED" })
  })
})

describe("a frame that is small until it is inflated", () => {
  const nested = (bytes: number) => "[".repeat(bytes / 2) + "]".repeat(bytes / 2)
  const SIZE = 16 * 1024 * 1024
  it.each([
    ["arrays", nested(SIZE)],
    ["objects", `[${"{},".repeat(SIZE / 3 - 2)}{}]`],
    ["keys", `{${'"a":1,'.repeat(SIZE / 6 - 2)}"a":1}`],
    ["one string", `{"a":"${"x".repeat(SIZE - 10)}"}`]
  ])("costs next to nothing while a Send and a login wait: %s", async (_, text) => {
    const server = await ScriptedServer.start({ compression: true })
    const manager = await TestManager.start()
    try {
      const { id } = await manager.run(manager.service.connect({ url: server.url, compression: true, topic: "t" }))
      const opened = server.last
      const send = manager.run(
        Effect.exit(manager.service.send({ id, message: Buffer.from('{"q":1}'), timeoutMs: 60_000 }))
      )
      await server.until(() => opened.frames.length === 1)
      server.onOpen = (peer) => peer.send(text)
      const logins = manager.run(
        manager.service.connect({
          url: server.url,
          compression: true,
          awaitOpen: false,
          handshake: [{ expect: { jsonPath: "$.never" } }]
        })
      )
      opened.send(text)
      const events = await manager.topic("t")
      const began = process.cpuUsage()
      await manager.until(() => events.length >= 1, "the frame is published", 20_000)
      const { system, user } = process.cpuUsage(began)
      // Inflating, checking and publishing it is in this, on both ends: building its value took seconds more.
      expect((user + system) / 1e6).toBeLessThan(6)
      opened.send('{"id":1,"ok":true}')
      await logins
      expect((await send)._tag).toBe("Success")
    } finally {
      await manager.stop()
      await server.stop()
    }
  })
})

describe("a login that grows", () => {
  const grown = (handshake: ReadonlyArray<unknown>) => handshake as never
  const capture = { expect: { jsonPath: "$.x", capture: { x: "$.x" } } }
  const fill = (n: number) => ({ sendText: Buffer.from("${capture:x}".repeat(n)) })

  it.each<[string, number, unknown, RegExp]>([
    ["a capture over its limit", 15 * 1024 * 1024, [capture, fill(40)], /capture x is over 65536 bytes/],
    ["a capture just over its limit", 64 * 1024 + 1, [capture, fill(1)], /capture x is over 65536 bytes/],
    [
      "a text that is filled too often",
      60_000,
      [capture, fill(5000)],
      /step 2: filled in it is over max_message_bytes/
    ],
    [
      "more texts than may wait",
      60_000,
      [capture, ...Array.from({ length: 20 }, () => fill(250))],
      /step \d+: .*send queue/
    ],
    ["the whole frame as a capture", 100_000, [{ expect: { capture: { x: "" } } }, fill(1)], /capture|path/]
  ])("fails, and nothing else does: %s", async (_, size, handshake, reason) => {
    const server = await ScriptedServer.start()
    const manager = await TestManager.start()
    try {
      const neighbour = await manager.run(manager.service.connect({ url: server.url, topic: "beside" }))
      const beside = server.last
      server.onOpen = (peer) => {
        peer.stopReading()
        peer.send(`{"x":"${"A".repeat(size)}"}`)
      }
      const request = { url: server.url, maxReplyBytes: 16 * 1024 * 1024, handshake: grown(handshake as never) }
      const error = await manager.refused(manager.service.connect(request))
      expect(`${error._tag} ${(error as { message?: string }).message}`).toMatch(reason)
      const events = await manager.topic("beside")
      beside.send("goes on")
      await manager.until(() => events.length === 1, "the neighbour's frame is published")
      expect(manager.types(neighbour.id)).not.toContain("error")
    } finally {
      await manager.stop()
      await server.stop()
    }
  })
})
