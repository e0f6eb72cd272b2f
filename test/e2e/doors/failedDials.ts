/** Connect and Reconnect where the dial fails. */
import { beforeAll, describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../../src/domain/Spec.js"
import { type Door, refused, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { connect, get, tagged } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

export const failedDials: Part = (name, context) =>
  describe("a dial that fails", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    const failing = (request: ConnectRequest) => refused(door.call("Connect", { ...request, tags: { failing: name } }))

    it("tells how, and leaves nothing behind", async () => {
      const stalled = await context().peerLike()
      stalled.stallOpening()
      const busy = await context().peerLike()
      busy.refuse(503, { "Retry-After": "60" })
      const tls = await context().peerLike({ tls: true })
      const url = peers.url
      const table: ReadonlyArray<readonly [ConnectRequest, Record<string, string>]> = [
        [{ url: `ws://${"x".repeat(64)}.invalid/` }, { kind: "dns" }],
        [{ url: "ws://127.0.0.1:1/" }, { kind: "refused" }],
        [{ url: stalled.url, reconnect: { dialTimeoutMs: 60 } }, { kind: "timeout" }],
        [{ url: tls.url }, { kind: "tls" }],
        [{ url: busy.url }, { kind: "http", httpStatus: "503" }],
        [{ url, handshake: [{ expect: { timeoutMs: 40 } }] }, { kind: "handshake" }],
        [{ url, headers: { A: "secret:NONE_SUCH" } }, { kind: "secret" }]
      ]
      const errors = await Promise.all(table.map(([request]) => failing(request)))
      expect(await tagged(door, "failing", name)).toEqual([])
      expect(errors.map(({ fields, tag }) => [tag, fields.kind, fields.httpStatus])).toEqual(
        table.map(([, { httpStatus, kind }]) => ["DialFailed", kind, httpStatus])
      )
    })

    it("for the egress policy is TargetForbidden, and nothing is dialled", async () => {
      const error = await failing({ url: "ws://127.66.1.1:1/" })
      expect(error).toMatchObject({ tag: "TargetForbidden", fields: { host: "127.66.1.1" } })
      expect(await tagged(door, "failing", name)).toEqual([])
    })

    it("is told by Reconnect too, and the connection stays", async () => {
      const feed = await context().peerLike()
      const { id } = await connect(door, feed, "/", { reconnect: { baseDelayMs: 10_000 } })
      feed.refuse(403)
      expect(await refused(door.call("Reconnect", { id }))).toMatchObject({
        tag: "DialFailed",
        fields: { kind: "http", httpStatus: "403" }
      })
      expect(await get(door, id)).toMatchObject({ status: "CONNECTION_STATUS_RECONNECTING" })
      await door.call("Disconnect", { id })
    })

    it("keeps the connection with awaitOpen off, and it is dialled on until it opens", async () => {
      const feed = await context().peerLike()
      feed.refuse(500, {}, 2)
      const started = await door.call("Connect", {
        url: feed.url,
        awaitOpen: false,
        reconnect: { baseDelayMs: 20, maxDelayMs: 20 }
      })
      expect(started.status).toBe("CONNECTION_STATUS_CONNECTING")
      await until(async () => (await get(door, started.id)).status === "CONNECTION_STATUS_CONNECTED")
      expect(feed.openings).toHaveLength(3)
      await door.call("Disconnect", { id: started.id })
    })
  })
