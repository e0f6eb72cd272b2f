/** Receive, Watch and Subscribe, and where they are not to be had. */
import { beforeAll, describe, expect, it } from "vitest"
import { type Door, refused, type TestServer, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { bytes, connect, get, text } from "../doorConnections.js"
import { NOBODY, type Part } from "./doorContext.js"

export const streams: Part = (name, context) =>
  describe("streams", () => {
    let server: TestServer
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ server, peers, door } = context())
    })

    it("Receive begins before its first frame, gives every frame from then on, and ends with its connection", async () => {
      const { connection, id, peer } = await connect(door, peers, "/receive")
      peer.send("before")
      await until(async () => (await get(door, id)).framesReceived === 1)
      const reader = await door.stream("Receive", { id })
      const from = Date.now()
      peer.send("grüße")
      peer.send(Buffer.from([0, 255]))
      const frames = await reader.take(2)
      expect(frames).toMatchObject([
        { data: bytes("grüße"), contentType: "text/plain", epoch: connection.epoch, sequence: 2, missed: 0 },
        { data: Buffer.from([0, 255]), contentType: "application/octet-stream", sequence: 3, missed: 0 }
      ])
      expect(Math.abs(frames[0]!.receivedAt.getTime() - from)).toBeLessThan(5000)
      await door.call("Disconnect", { id })
      expect(await reader.next()).toBeUndefined()
    })

    it("Receive goes on over a reconnect, with sequences that go on", async () => {
      const { id, peer } = await connect(door, peers, "/receive")
      const reader = await door.stream("Receive", { id })
      peer.send("a")
      expect((await reader.take(1))[0]).toMatchObject({ sequence: 1 })
      const { length } = peers.peers
      peer.cut()
      ;(await peers.peer(length + 1)).send("b")
      expect((await reader.take(1))[0]).toMatchObject({ sequence: 2, data: bytes("b") })
      await reader.cancel()
    })

    it("a reply to a Send is not received", async () => {
      const { id } = await connect(door, peers, "/echo")
      const reader = await door.stream("Receive", { id })
      await door.call("Send", { id, message: bytes("{}") })
      await door.call("SendRaw", { id, message: bytes("ordinary") })
      expect((await reader.take(1))[0]).toMatchObject({ sequence: 1, data: bytes("ordinary") })
      await reader.cancel()
    })

    it("a slow reader is told what it missed, exactly, and pauses nobody", async () => {
      const { id, peer } = await connect(door, peers, "/flood")
      const [slow, quick] = [
        await door.stream("Receive", { id }),
        await server.doors["rpc-ws"].stream("Receive", { id })
      ]
      let counted = 0
      const reading = (async () => {
        while (counted < 3000) counted += 1 + (await quick.next())!.missed
      })()
      await peer.flood({ count: 3000, size: 12 * 1024 })
      await until(async () => (await get(door, id)).framesReceived === 3000)
      await reading
      let last = 0
      let missed = 0
      while (last < 3000) {
        const frame = (await slow.next())!
        expect(frame.sequence).toBe(last + 1 + frame.missed)
        last = frame.sequence
        missed += frame.missed
      }
      expect(missed).toBeGreaterThan(0)
      await Promise.all([slow.cancel(), quick.cancel()])
    })

    it("Watch begins before its first event and tells a connection's life in order, by id and by tag", async () => {
      const all = await door.stream("Watch", {})
      const mine = await door.stream("Watch", { filters: [{ key: "watch", value: name }] })
      const { id, peer } = await connect(door, peers, "/watch", { tags: { watch: name }, topic: "w" })
      expect((await all.next())!).toMatchObject({ type: "connecting", connectionId: id })
      expect(await mine.take(2)).toMatchObject([
        { type: "connecting", connectionId: id, missed: 0, attributes: { attempt: "1" } },
        { type: "connected", connectionId: id, missed: 0, attributes: { attempt: "1", subprotocol: "" } }
      ])
      const byId = await door.stream("Watch", { ids: [id.toUpperCase()] })
      await connect(door, peers, "/other")
      peer.close(4001, "again")
      const events = await byId.take(4)
      expect(events.map(({ type }) => type)).toEqual(["reconnecting", "connecting", "connected", "gap"])
      expect(events[0]!.attributes).toMatchObject({ closecode: "4001", reason: "again", attempt: "1" })
      expect(events[3]!.attributes).toMatchObject({ cause: "reconnect", lost: "unknown" })
      expect(events.every((event) => event.connectionId === id && event.time instanceof Date)).toBe(true)
      await Promise.all([all.cancel(), mine.cancel(), byId.cancel()])
    })

    it("Subscribe begins before its first event and gives CloudEvents, packed ones too", async () => {
      const reader = await door.stream("Subscribe", { topic: `subscribe-${name}` })
      const { id, peer } = await connect(door, peers, "/subscribe", { topic: `subscribe-${name}` })
      peer.send("grüße")
      peer.send(Buffer.from([0, 255]))
      const events = (await reader.take(2)).map(({ event }) => JSON.parse(text(event)))
      expect(events).toMatchObject([
        { specversion: "1.0", type: "websocketmanager.frame", subject: id, data: "grüße", sequence: "1" },
        { datacontenttype: "application/octet-stream", data_base64: "AP8=", sequence: "2" }
      ])
      await door.call("StartPublish", {
        id,
        topic: `subscribe-${name}`,
        publishing: { packing: "PACKING_PACKED", maxFrames: 2, lingerMs: 1000 }
      })
      peer.send("three")
      peer.send("four")
      const [pack] = await reader.take(1)
      expect(JSON.parse(text(pack!.event))).toMatchObject({
        type: "websocketmanager.frames",
        sequence: "3",
        sequencelast: "4",
        data: [
          { s: 3, text: "three" },
          { s: 4, text: "four" }
        ]
      })
      await reader.cancel()
    })

    it("a stream of what is not there is refused before it begins", async () => {
      expect(await refused(door.stream("Receive", { id: NOBODY }))).toMatchObject({
        tag: "ConnectionNotFound",
        fields: { id: NOBODY }
      })
      expect((await refused(door.stream("Receive", { id: "x" }))).tag).toBe("InvalidRequest")
    })
  })

export const noStreams: Part = (_name, context) =>
  it("the streams answer NotAvailable, and say where to go", async () => {
    const { door, peers } = context()
    const { id } = await connect(door, peers, "/")
    for (const call of [
      door.stream("Receive", { id }),
      door.stream("Watch", {}),
      door.stream("Subscribe", { topic: "t" })
    ]) {
      const error = await refused(call)
      expect(error.tag).toBe("NotAvailable")
      expect(error.fields.reason).toContain("/rpc/ws")
    }
  })
