/** What a caller is told when the owner of a connection cannot be reached, dies, or is just being succeeded. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { type ManagerError, OwnerUnreachable, type SendAborted } from "../../src/domain/Errors.js"
import { CallDeadline } from "../../src/ports/CallDeadline.js"
import { Peers } from "../../src/ports/Peers.js"
import { type Node, startFleet } from "./managerFleet.js"

const bytes = (text: string) => Buffer.from(text)
const within = <A, E>(ms: number, call: Effect.Effect<A, E>) =>
  Effect.suspend(() => Effect.provideService(call, CallDeadline, Date.now() + ms))

describe.concurrent("an owner that cannot be reached, and is not dead", () => {
  it("leaves open whether a call was executed that had left, and says so", async (context) => {
    const fleet = await startFleet(context, ["a", "b"], { heartbeatTtl: Duration.seconds(20) })
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a, { tags: { one: "1" } })
    fleet.network.cut(a.address, b.address)
    const changes: ReadonlyArray<Effect.Effect<unknown, ManagerError>> = [
      b.service.setTag(id, "k", "v"),
      b.service.sendRaw({ id, message: bytes("x") }),
      b.service.startPublish({ id, topic: "t" }),
      b.service.reconnect(id),
      b.service.disconnect({ id })
    ]
    for (const call of changes) {
      expect(await b.manager.refused(within(200, call))).toMatchObject({
        _tag: "OwnerUnreachable",
        owner: "a",
        executed: "unknown"
      })
    }
    // reads change nothing, and know the record
    const receive = Effect.scoped(Effect.asVoid(b.service.receive(id)))
    expect(await b.manager.refused(within(200, receive))).toEqual(new OwnerUnreachable({ owner: "a" }))
    expect(await b.manager.run(b.service.getTags(id))).toEqual({ one: "1" })
    expect(await b.manager.run(b.service.get(id))).toMatchObject({ id, instanceId: "a", tags: { one: "1" } })
  })

  it("has not executed what never left, and nobody else does", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"], { heartbeatTtl: Duration.seconds(20) })
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    fleet.network.reset(a.address, b.address)
    fleet.network.cut(a.address, b.address)
    for (const call of [b.service.setTag(id, "k", "v"), b.service.disconnect({ id })]) {
      expect(await b.manager.refused(within(300, call))).toEqual(new OwnerUnreachable({ owner: "a" }))
    }
    fleet.network.heal()
    expect(await b.manager.run(b.service.get(id))).toMatchObject({ instanceId: "a", tags: {}, framesSent: 0 })
    expect(fleet.server.last.open).toBe(true)
  })

  it("answers a repeated request_id by OwnerUnreachable, and makes no second connection", async (context) => {
    const fleet = await startFleet(context, ["a", "b"], { heartbeatTtl: Duration.seconds(20) })
    const [a, b] = fleet.nodes as [Node, Node]
    const request = { url: fleet.server.url, requestId: "once" }
    await a.manager.run(a.service.connect(request))
    fleet.network.cut(a.address, b.address)
    expect(await b.manager.refused(within(300, b.service.connect(request)))).toMatchObject({
      _tag: "OwnerUnreachable",
      owner: "a"
    })
    expect(fleet.server.peers.length).toBe(1)
  })
})

describe.concurrent("a forwarded call", () => {
  it("is never forwarded again: who does not own the connection says who does", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"])
    const [a, b, c] = fleet.nodes as [Node, Node, Node]
    const { id } = await fleet.connect(c)
    const before = fleet.network.sent.length
    for (const [method, request] of [
      ["SetTag", { id, key: "k", value: "v" }],
      ["Get", { id }],
      ["Disconnect", { id }]
    ] as const) {
      const call = Effect.flatMap(Peers, (peers) => peers.call(a.address, method, request))
      expect(await b.manager.refused(call)).toEqual(new OwnerUnreachable({ owner: "c" }))
    }
    const forwarded = fleet.network.sent.slice(before).filter(({ from }) => from === a.address)
    expect(forwarded.filter(({ what }) => ["SetTag", "Get", "Disconnect"].includes(what))).toEqual([])
  })
})

describe.concurrent("an owner that dies", () => {
  it("ends a hundred Sends in flight with SendAborted, sent", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    const sends = Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        b.manager.run(Effect.either(b.service.send({ id, message: bytes(`{"id":${i + 1}}`), timeoutMs: 60_000 })))
      )
    )
    await fleet.server.until(() => fleet.server.last.frames.length === 100)
    // told to the forwarder, too
    await new Promise((resolve) => setTimeout(resolve, 100))
    fleet.crash(a)
    const ended = await sends
    expect(
      new Set(ended.map((e) => (Either.isLeft(e) ? `${e.left._tag} ${(e.left as SendAborted).sent}` : "reply")))
    ).toEqual(new Set(["SendAborted yes"]))
  })

  it("leaves open whether a message has left only in the moment between", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    fleet.network.delay = (from) => (from === a.address ? 400 : 0)
    const sends = Promise.all(
      [1, 2, 3].map((i) =>
        b.manager.run(Effect.flip(b.service.send({ id, message: bytes(`{"id":${i}}`), timeoutMs: 60_000 })))
      )
    )
    await fleet.server.until(() => fleet.server.last.frames.length === 3)
    fleet.crash(a)
    for (const error of await sends) expect(error).toMatchObject({ _tag: "SendAborted", id, sent: "unknown" })
  })

  it(
    "is waited for by calls that were not executed: they are done at whoever takes over",
    { timeout: 30_000 },
    async (context) => {
      const fleet = await startFleet(context, ["a", "b", "c"])
      const [a, b, c] = fleet.nodes as [Node, Node, Node]
      const ids = await Promise.all(Array.from({ length: 8 }, async () => (await fleet.connect(a)).id))
      fleet.crash(a)
      await Promise.all(
        ids.map((id, i) => [b, c][i % 2]!.manager.run([b, c][i % 2]!.service.setTag(id, "k", String(i))))
      )
      for (const [i, id] of ids.entries()) {
        const { instanceId, tags } = await b.manager.run(b.service.get(id))
        expect(tags).toEqual({ k: String(i) })
        expect(["b", "c"]).toContain(instanceId)
      }
    }
  )

  it("is succeeded by whoever is asked with its request_id", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const request = { url: fleet.server.url, requestId: "kept", reconnect: { baseDelayMs: 20 } }
    const first = await a.manager.run(a.service.connect(request))
    fleet.crash(a)
    const again = await b.manager.run(b.service.connect(request))
    expect(again).toMatchObject({ id: first.id, connection: { instanceId: "b" } })
    expect(again.connection.epoch).toBeGreaterThan(first.connection.epoch)
  })
})
