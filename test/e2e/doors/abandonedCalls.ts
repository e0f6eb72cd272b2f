/** Calls whose caller gives up. */
import { beforeAll, describe, expect, it } from "vitest"
import { type CallOptions, type Door, refused, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { bytes, connect, tagged } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

export const abandonedCalls: Part = (name, context) =>
  describe("a caller that gives up", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    /** Gives up once the call has begun to do something. A deadline that was too short for that is made longer. */
    const giveUp = async (
      how: string,
      call: (options: CallOptions) => Promise<unknown>,
      begun: () => Promise<unknown>
    ): Promise<void> => {
      for (let deadlineMs = 150; ; deadlineMs *= 4) {
        const abort = new AbortController()
        const ended = refused(call(how === "cancels" ? { signal: abort.signal } : { deadlineMs }))
        const first = await Promise.race([begun().then(() => "begun"), ended.then(() => "ended")])
        abort.abort()
        expect((await ended).tag).toBe(how === "cancels" ? "Cancelled" : "DeadlineExceeded")
        if (first === "begun") return
      }
    }

    it.each(["cancels", "sets a deadline"])("and %s leaves no connection and no socket of its Connect", async (how) => {
      const stalled = await context().peerLike()
      stalled.stallOpening()
      await giveUp(
        how,
        (options) => door.call("Connect", { url: stalled.url, tags: { givenUp: name } }, options),
        () => stalled.until(() => stalled.openings.length > 0)
      )
      await until(async () => (await tagged(door, "givenUp", name)).length === 0, "the connection is removed")
      await stalled.until(() => stalled.rawSockets() === 0)
      expect([await tagged(door, "givenUp", name), stalled.rawSockets()]).toEqual([[], 0])
    })

    it("finds its Connect again by its requestId", async () => {
      const feed = await context().peerLike()
      feed.stallOpening()
      const request = { url: feed.url, requestId: `given-up-${name}`, tags: { kept: name } }
      const abort = new AbortController()
      const call = refused(door.call("Connect", request, { signal: abort.signal }))
      await feed.until(() => feed.openings.length === 1)
      abort.abort()
      await call
      const [id] = await tagged(door, "kept", name)
      expect((await door.call("Connect", { ...request, awaitOpen: false })).id).toBe(id)
      await door.call("Disconnect", { id: id! })
    })

    it.each(["cancels", "sets a deadline"])("and %s frees the slot of its Send", async (how) => {
      const { id, peer } = await connect(door, peers, "/silent")
      const message = bytes('{"id":"one"}')
      await giveUp(
        how,
        (options) => door.call("Send", { id, message }, options),
        () => peers.until(() => peer.frames.length > 0)
      )
      const again = () => refused(door.call("Send", { id, message, timeoutMs: 1 }))
      await until(async () => (await again()).tag === "SendTimeout", "the slot is free")
      expect((await again()).tag).toBe("SendTimeout")
    })

    it("cannot send the same id again while the first is in flight", async () => {
      const { id, peer } = await connect(door, peers, "/silent")
      const message = bytes('{"id":"one"}')
      const abort = new AbortController()
      const first = refused(door.call("Send", { id, message }, { signal: abort.signal }))
      await peers.until(() => peer.frames.length === 1)
      const busy = await refused(door.call("Send", { id, message }))
      expect(busy).toMatchObject({ tag: "InvalidRequest", fields: { field: "message" } })
      abort.abort()
      await first
    })
  })
