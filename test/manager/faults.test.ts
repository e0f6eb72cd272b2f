/** What a connection does to whoever handles it is its own: neighbours, the process and the store do not notice. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { ClientWrapper, layer as clientLayer } from "../../src/socket/ClientWrapper.js"
import { alone } from "./alone.js"

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
            handlers.onFrame(data, binary)
          },
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
