/** Messages during a planned move that overlaps: the old socket takes them until the new one is open. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { TestContext } from "vitest"
import type { Node } from "./managerFleet.js"
import { three } from "./plannedMoves.js"

/** It opens with the peer's first frame. */
const OVERLAP = { handover: "HANDOVER_MAKE_BEFORE_BREAK", handshake: [{ expect: { timeoutMs: 15_000 } }] } as const

const connected = async (test: TestContext) => {
  const { a, b, c, fleet, server } = await three(test)
  server.onOpen = (peer) => {
    if (peer === server.peers[0]) peer.send("welcome")
  }
  const { id } = await fleet.connect(a, OVERLAP)
  return { a, b, c, fleet, id, old: server.last, server }
}

/** The new socket is there, and not open yet. */
const moving = async (test: TestContext) => {
  const there = await connected(test)
  const { a, id, server } = there
  const moved = a.manager.run(Effect.either(a.service.migrate({ id, targetInstanceId: "b" })))
  return { ...there, fresh: await server.peer(2), moved }
}

const message = Buffer.from('{"ask":1}')
const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

describe.concurrent("make before break", () => {
  it("no Send is refused, at whichever instance it is asked, before, in and after the change of sockets", async (test) => {
    const { a, b, c, fresh, id, moved, server } = await moving(test)
    server.echo()
    const asks = { more: true }
    const outcomesOf = new Map<Node, Array<string>>([a, b, c].map((node) => [node, []]))
    const asking = async (node: Node) => {
      const { manager, service } = node
      const outcomes = outcomesOf.get(node)!
      while (asks.more) {
        const call = outcomes.length % 2 === 0 ? service.send({ id, message }) : service.sendRaw({ id, message })
        const done = await manager.run(Effect.either<unknown, { readonly _tag: string }, never>(call))
        // in flight when the old socket closes: told so, and whether it left
        const aborted = Either.isLeft(done) && done.left._tag === "SendAborted" && "sent" in done.left
        outcomes.push(Either.isRight(done) ? "done" : aborted ? `aborted ${String(done.left.sent)}` : done.left._tag)
        await sleep(5)
      }
      return outcomes
    }
    const all = [a, b, c].map(asking)
    await server.until(() => server.peers[0]!.frames.length > 20)
    assert.deepStrictEqual(fresh.frames, [])
    fresh.send("welcome")
    assert.include((await moved).pipe(Either.getOrThrow), { instanceId: "b" })
    const answered = fresh.frames.length
    await server.until(() => fresh.frames.length > answered)
    await a.manager.until(() => [...outcomesOf.values()].every(({ length }) => length > 5), "each has asked")
    asks.more = false
    for (const outcomes of await Promise.all(all)) {
      const failed = outcomes.filter((outcome) => outcome !== "done")
      assert.deepStrictEqual(
        failed.filter((outcome) => !["aborted yes", "aborted no"].includes(outcome)),
        []
      )
      assert.isAtMost(failed.length, 1)
    }
    assert.isNotEmpty(fresh.frames)
  })

  it("a Send whose reply has not come when the old socket closes ends so, and says that it left", async (test) => {
    const { a, fresh, id, moved, old } = await moving(test)
    const asked = a.manager.refused(a.service.send({ id, message }))
    await a.manager.until(() => old.frames.length === 1, "it has left")
    fresh.send("welcome")
    assert.include(await asked, { _tag: "SendAborted", id, sent: "yes" })
    await moved
    assert.strictEqual(old.frames.length + fresh.frames.length, 1, "it is not sent a second time")
  })

  it("a move that is taken back leaves a socket that takes messages, and that is dialled again when it is lost", async (test) => {
    const { a, fleet, b, id, old, server } = await connected(test)
    server.echo()
    fleet.network.freeze(b.address)
    const move = a.manager.run(Effect.either(a.service.migrate({ id, targetInstanceId: "b" })))
    await a.manager.until(() => fleet.network.sent.some(({ what }) => what === "take"), "it is offered")
    await a.manager.run(a.service.send({ id, message }))
    assert.strictEqual((await move)._tag, "Left")
    fleet.network.thaw(b.address)
    await a.manager.run(a.service.send({ id, message }))
    server.onOpen = (peer) => peer.send("welcome")
    old.cut()
    await a.manager.event(id, "connected", 2)
    await a.manager.run(a.service.send({ id, message }))
    assert.strictEqual(server.peers.length, 2)
  })
})
