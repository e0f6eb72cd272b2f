/** Connect, Get, Reconnect and Disconnect. */
import { beforeAll, describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../../src/domain/Spec.js"
import { type Door, refused, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { bytes, connect, get, tagged, text } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

/** Everything of Connect that shows on the peer's side or in an answer. */
const FULL: Partial<ConnectRequest> = {
  tags: { env: "e2e", 言語: "日本語", empty: "" },
  topic: "full",
  headers: { "X-Feed": "grüße", "X-Id": "${connection:id}" },
  subprotocols: ["v2", "v1"],
  handshake: [
    { sendText: bytes('{"login":"${connection:id}"}') },
    { expect: { jsonPath: "$.session", capture: { session: "$.session" } } },
    { sendText: bytes("session=${capture:session}") },
    { sendBinary: Buffer.from([0, 255]) }
  ],
  keepAlive: { pingIntervalMs: 50_000, pingMessage: bytes("ping") },
  reconnect: { baseDelayMs: 20, maxDelayMs: 40, factor: 1.5, giveUpCodes: [4999], retryCodes: [4400] },
  buffer: { maxFrames: 10, overflow: "OVERFLOW_DROP_OLDEST" },
  correlation: { mode: "CORRELATION_MODE_JSON_FIELD", requestPath: "$.req", replyPath: "$.res" },
  onLeaseLoss: "LEASE_LOSS_CONTINUE",
  handover: "HANDOVER_MAKE_BEFORE_BREAK",
  maxMessageBytes: 100_000,
  maxReplyBytes: 50_000,
  publishing: { packing: "PACKING_SINGLE", textContentType: "application/json" },
  compression: true
}

export const connectionLife: Part = (name, context) =>
  describe("a connection's life", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    it("Connect answers with the open connection, as Get and List show it", async () => {
      const { connection, id, peer } = await connect(door, peers, "/life?token=s3cret", {
        tags: { life: name },
        topic: "t"
      })
      expect(peer.url).toBe("/life?token=s3cret")
      expect(connection).toMatchObject({
        id,
        url: `${peers.url}/life?token=***`,
        status: "CONNECTION_STATUS_CONNECTED",
        topic: "t",
        tags: { life: name },
        autoReconnect: true,
        framesReceived: 0,
        lastError: "",
        contentType: ""
      })
      expect(connection.epoch).toBeGreaterThan(0)
      expect(connection.connectedAt!.getTime()).toBeGreaterThanOrEqual(connection.createdAt.getTime())
      expect(await get(door, id)).toEqual(connection)
      const { connections, nextPageToken } = await door.call("List", { filters: [{ key: "life", value: name }] })
      expect([connections, nextPageToken]).toEqual([[connection], ""])
    })

    it("Connect hands on every part of its request", async () => {
      const feed = await context().peerLike({ subprotocol: "v1", compression: true })
      feed.onFrame = (peer, data) => {
        if (data.includes("login")) peer.send('{"session":"s-77"}')
        if (data.includes('"req"')) peer.send(JSON.stringify({ res: JSON.parse(data.toString()).req, ok: true }))
      }
      const { connection, id, peer } = await connect(door, feed, "/full", FULL)
      expect(peer.headers).toMatchObject({ "x-id": id, "sec-websocket-protocol": "v2,v1" })
      expect(Buffer.from(peer.headers["x-feed"] as string, "latin1").toString("latin1")).toBe("grüße")
      expect(peer.ws.extensions).toContain("permessage-deflate")
      await feed.until(() => peer.frames.length === 3)
      expect(peer.texts.slice(0, 2)).toEqual([`{"login":"${id}"}`, "session=s-77"])
      expect(peer.frames[2]).toMatchObject({ data: Buffer.from([0, 255]), binary: true })
      expect(connection).toMatchObject({ tags: FULL.tags, topic: "full" })
      const reply = await door.call("Send", { id, message: bytes('{"op":1}') })
      expect(JSON.parse(text(reply.response))).toEqual({ res: 1, ok: true })
      peer.close(4999)
      await until(async () => (await get(door, id)).status === "CONNECTION_STATUS_FAILED", "4999 is given up on")
      expect(await get(door, id)).toMatchObject({ lastCloseCode: 4999 })
    })

    it("Connect with autoReconnect off stays disconnected, until Reconnect opens it again under the same epoch", async () => {
      const { connection, id, peer } = await connect(door, peers, "/once", { autoReconnect: false })
      peer.close(1000, "done")
      await until(async () => (await get(door, id)).status === "CONNECTION_STATUS_DISCONNECTED")
      const closed = await get(door, id)
      expect(closed).toMatchObject({ autoReconnect: false, lastCloseCode: 1000 })
      expect(closed.connectedAt).toBeUndefined()
      for (const method of ["Send", "SendRaw"] as const) {
        expect(await refused(door.call(method, { id, message: bytes("{}") }))).toMatchObject({
          tag: "ConnectionNotOpen",
          fields: { id, status: "CONNECTION_STATUS_DISCONNECTED" }
        })
      }
      const again = await door.call("Reconnect", { id })
      expect(again.connection).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", epoch: connection.epoch })
    })

    it("Reconnect closes the open socket with 1000 and opens another", async () => {
      const { id, peer } = await connect(door, peers, "/again")
      const { connection } = await door.call("Reconnect", { id })
      expect(connection).toMatchObject({ id, status: "CONNECTION_STATUS_CONNECTED" })
      await peers.until(() => !peer.open)
      expect(peer.closeCode).toBe(1000)
    })

    it("Disconnect closes with the code and reason asked for, and the id is gone", async () => {
      const { id, peer } = await connect(door, peers, "/bye", { tags: { bye: name } })
      expect(await door.call("Disconnect", { id: id.toUpperCase(), code: 3001, reason: "tschüß" })).toEqual({})
      await peers.until(() => !peer.open)
      expect([peer.closeCode, peer.closeReason]).toEqual([3001, "tschüß"])
      expect(await tagged(door, "bye", name)).toEqual([])
      for (const method of ["Get", "Reconnect", "StopPublish", "GetTags", "Disconnect"] as const) {
        expect(await refused(door.call(method, { id }))).toMatchObject({ tag: "ConnectionNotFound", fields: { id } })
      }
    })

    it("Disconnect says 1000 to the peer when no code is asked for", async () => {
      const { id, peer } = await connect(door, peers, "/bye")
      await door.call("Disconnect", { id })
      await peers.until(() => !peer.open)
      expect(peer.closeCode).toBe(1000)
    })
  })
