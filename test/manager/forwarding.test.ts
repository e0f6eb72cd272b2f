/** Any instance answers any call: what is another's goes to its owner once, and comes back as the owner's answer. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { describe, expect, it } from "vitest"
import { CallDeadline } from "../../src/ports/CallDeadline.js"
import { type Node, startFleet, type TestFleet } from "./managerFleet.js"

const bytes = (text: string) => Buffer.from(text)
const NOBODY = "0195d7f2-6c1e-7b3a-9a54-3f1f6a2b7c10"

/** What the others passed on since `from` calls were sent. */
const passedOn = (fleet: TestFleet, from: number) =>
  fleet.network.sent
    .slice(from)
    .map(({ what }) => what)
    .filter((what) => !["hello", "ask", "link", "Watch", "List"].includes(what))

const outcome = <A, E>({ manager }: Node, call: Effect.Effect<A, E>) => manager.run(Effect.either(call))

describe.concurrent("a call at an instance that does not own the connection", () => {
  it("is answered as at its owner, and passed on once", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    fleet.server.echo()
    const { id } = await fleet.connect(a, { tags: { env: "x" }, topic: "t" })
    const calls = (s: Node["service"]): ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> => [
      ["Get", s.get(id.toUpperCase())],
      ["SetTag", s.setTag(id, "k", "v")],
      ["SetTag", s.setTag(id, "", "v")],
      ["DeleteTag", s.deleteTag(id, "k")],
      ["SetTags", s.setTags(id, { one: "1" })],
      ["StartPublish", s.startPublish({ id, topic: "u" })],
      ["StartPublish", s.startPublish({ id, topic: "" })],
      ["StopPublish", s.stopPublish(id)],
      ["SendRaw", s.sendRaw({ id, message: bytes("raw") })],
      ["SendRaw", s.sendRaw({ id, message: Buffer.from([255]) })],
      ["Send", s.send({ id, message: bytes('{"id":7}') })],
      ["Send", s.send({ id, message: bytes("no JSON") })],
      ["Reconnect", s.reconnect(id)]
    ]
    const atOwner = calls(a.service)
    for (const [i, [method, call]] of calls(b.service).entries()) {
      const expected = await outcome(a, atOwner[i]![1])
      const before = fleet.network.sent.length
      const got = await outcome(b, call)
      const moving = { connectedAt: expect.any(Date), lastFrameAt: expect.any(Date) }
      const counted = {
        framesSent: expect.any(Number),
        framesReceived: expect.any(Number),
        contentType: expect.any(String)
      }
      const same =
        Either.isRight(expected) && typeof expected.right === "object" && "epoch" in (expected.right as object)
      if (same)
        expect(Either.getOrThrow(got), method).toMatchObject({
          ...(expected.right as object),
          ...counted,
          connectedAt: moving.connectedAt
        })
      else expect(got, method).toEqual(expected)
      expect(passedOn(fleet, before), method).toEqual([method])
    }
    expect(await b.manager.run(b.service.getTags(id))).toEqual({ one: "1" })
    await b.manager.run(b.service.disconnect({ id, code: 3001, reason: "bye" }))
    await fleet.server.until(() => fleet.server.connections() === 0)
    expect(fleet.server.last).toMatchObject({ closeCode: 3001, closeReason: "bye" })
    for (const node of [a, b]) {
      expect(await node.manager.refused(node.service.get(id))).toMatchObject({ _tag: "ConnectionNotFound", id })
    }
  })

  it("is refused in the same words where it names nothing, or no id", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    for (const id of [NOBODY, "no-id"]) {
      for (const { manager, service } of fleet.nodes) {
        expect(await manager.refused(service.sendRaw({ id, message: bytes("x") }))).toMatchObject({
          _tag: id === NOBODY ? "ConnectionNotFound" : "InvalidRequest"
        })
        expect(await manager.refused(service.disconnect({ id, code: 5 }))).toMatchObject({ field: "code" })
      }
    }
    expect(passedOn(fleet, 0)).toEqual([])
  })

  it("ends at the owner when its caller gives up", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a, { correlation: { mode: "CORRELATION_MODE_NEXT" } })
    // NEXT has one place: the second Send waits until the first is over
    const first = b.manager.runtime.runFork(b.service.send({ id, message: bytes("one"), timeoutMs: 60_000 }))
    await fleet.server.until(() => fleet.server.last.frames.length === 1)
    await b.manager.run(Fiber.interrupt(first))
    // what is owed to the one that gave up comes, and is nobody's
    fleet.server.last.send("late")
    fleet.server.echo()
    const { response } = await a.manager.run(a.service.send({ id, message: bytes("two"), timeoutMs: 2000 }))
    expect(Buffer.from(response).toString()).toBe("two")
  })

  it("carries the caller's deadline to the owner", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    fleet.network.cut(a.address, b.address)
    const started = Date.now()
    const call = Effect.provideService(b.service.setTag(id, "k", "v"), CallDeadline, started + 300)
    expect(await b.manager.refused(call)).toMatchObject({ _tag: "OwnerUnreachable", owner: "a" })
    expect(Date.now() - started).toBeLessThan(2000)
  })

  it("with a request_id asks the owner, and makes nothing a second time", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"])
    const request = { url: fleet.server.url, requestId: "the same", tags: { one: "1" } }
    const answers = await Promise.all(
      fleet.nodes.flatMap(({ manager, service }) => [0, 1].map(() => manager.run(service.connect(request))))
    )
    expect(
      new Set(answers.map(({ connection }) => `${connection.id} ${connection.epoch} ${connection.instanceId}`)).size
    ).toBe(1)
    expect(fleet.server.peers.length).toBe(1)
    for (const { manager, service } of fleet.nodes) {
      expect(await manager.refused(service.connect({ ...request, topic: "other" }))).toMatchObject({
        _tag: "InvalidRequest",
        field: "requestId"
      })
    }
    const { id } = answers[0]!
    await fleet.nodes[2]!.manager.run(fleet.nodes[2]!.service.disconnect({ id }))
    const again = await fleet.nodes[1]!.manager.run(fleet.nodes[1]!.service.connect(request))
    expect(again.id).toBe(id)
    expect(again.connection).toMatchObject({ instanceId: "b", status: "CONNECTION_STATUS_CONNECTED" })
  })

  it("moves it by Migrate: to a third, to the very instance that was asked, and not where nobody is", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"])
    const [a, b, c] = fleet.nodes as [Node, Node, Node]
    const made = await fleet.connect(a, { tags: { env: "x" }, topic: "t" })
    const { id } = made
    const migrates = () => fleet.network.sent.filter(({ what }) => what === "Migrate").map(({ from, to }) => [from, to])
    const nobody = { id, targetInstanceId: "nobody" }
    const refusal = await a.manager.refused(a.service.migrate(nobody))
    expect(await c.manager.refused(c.service.migrate(nobody))).toEqual(refusal)
    expect(refusal).toMatchObject({ _tag: "NoTarget", id, target: "nobody" })
    expect(migrates()).toEqual([[c.address, a.address]])

    const moved = await c.manager.run(c.service.migrate({ id, targetInstanceId: "b" }))
    expect(moved).toMatchObject({ id, instanceId: "b", topic: "t", tags: { env: "x" }, createdAt: made.createdAt })
    expect(moved.epoch).toBeGreaterThan(made.epoch)
    const back = await c.manager.run(c.service.migrate({ id, targetInstanceId: "c" }))
    expect(back).toMatchObject({ id, instanceId: "c" })
    expect(back.epoch).toBeGreaterThan(moved.epoch)
    expect(migrates().slice(1)).toEqual([
      [c.address, a.address],
      [c.address, b.address]
    ])
    await fleet.server.until(() => fleet.server.connections() === 1)
    for (const { manager, service } of fleet.nodes) {
      expect(await manager.run(service.get(id))).toMatchObject({ instanceId: "c", epoch: back.epoch })
    }
  })

  it("goes on to the new owner when the connection has moved behind its back", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"])
    const [a, b, c] = fleet.nodes as [Node, Node, Node]
    fleet.server.echo()
    const { id } = await fleet.connect(a)
    await a.manager.stop()
    const { response } = await retried(() => b.manager.run(b.service.send({ id, message: bytes('{"id":1}') })))
    expect(Buffer.from(response).toString()).toBe('{"id":1}')
    expect(["b", "c"]).toContain((await c.manager.run(c.service.get(id))).instanceId)
  })
})

/** As a caller does who is told that the socket is just being dialled. */
const retried = async <A>(call: () => Promise<A>): Promise<A> => {
  for (const deadline = Date.now() + 8000; ;) {
    try {
      return await call()
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe.concurrent("Receive of another's connection", () => {
  it("delivers every frame in order, and counts what a slow reader misses", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    const scope = Effect.runSync(Scope.make())
    const stream = await b.manager.run(Scope.extend(b.service.receive(id), scope))
    const pull = await b.manager.run(Scope.extend(Stream.toPull(stream), scope))
    const count = 6000
    for (let i = 0; i < count; i++) fleet.server.last.send(String(i))
    const deadline = Date.now() + 8000
    while ((await a.manager.run(a.service.get(id))).framesReceived < count) {
      if (Date.now() > deadline) throw new Error("the frames do not arrive")
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    let seen = 0
    let sequence = 0
    while (seen < count) {
      for (const frame of await b.manager.run(pull)) {
        expect(frame.sequence).toBe(sequence + frame.missed + 1)
        sequence = frame.sequence
        seen += 1 + frame.missed
      }
    }
    expect(sequence).toBe(count)
    await b.manager.run(Scope.close(scope, Exit.void))
  })

  it("ends with OwnerUnreachable when the link to the owner breaks, and ends when the connection is removed", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const first = await fleet.connect(a)
    const second = await fleet.connect(a)
    const read = (id: string) => b.manager.runtime.runFork(Stream.runDrain(Stream.unwrapScoped(b.service.receive(id))))
    const [broken, removed] = [read(first.id), read(second.id)]
    await b.manager.until(() => passedOn(fleet, 0).filter((what) => what === "Receive").length === 2)
    await b.manager.run(b.service.disconnect({ id: second.id }))
    expect(await b.manager.run(Fiber.await(removed))).toEqual(Exit.void)
    fleet.network.reset(a.address, b.address)
    expect(await b.manager.run(Effect.flip(Fiber.join(broken)))).toMatchObject({ _tag: "OwnerUnreachable", owner: "a" })
  })
})
