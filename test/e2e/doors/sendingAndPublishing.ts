/** Send and SendRaw; StartPublish and StopPublish. */
import { beforeAll, describe, expect, it } from "vitest"
import { type Door, refused, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { bytes, connect, get, text } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

export const messages: Part = (_name, context) =>
  describe("messages", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    it("Send answers with the reply, in each mode", async () => {
      const { id } = await connect(door, peers, "/echo")
      const send = async (message: string, correlation = {}, contentType = "") =>
        door.call("Send", { id, message: bytes(message), correlation, contentType })
      expect(text((await send('{"id":"x","n":12345678901234567890}')).response)).toBe(
        '{"id":"x","n":12345678901234567890}'
      )
      expect(text((await send("any", { mode: "CORRELATION_MODE_NEXT" })).response)).toBe("any")
      const prefixed = await send("raw", { mode: "CORRELATION_MODE_PREFIX" }, "application/octet-stream")
      expect([text(prefixed.response), prefixed.contentType]).toEqual(["raw", "application/octet-stream"])
      const { id: other, peer } = await connect(door, peers, "/envelope", {
        correlation: { mode: "CORRELATION_MODE_ENVELOPE" }
      })
      const call = door.call("Send", { id: other, message: bytes("hello") })
      await peers.until(() => peer.frames.length === 1)
      const envelope = JSON.parse(peer.texts[0]!)
      expect(envelope.message).toBe("hello")
      peer.send(JSON.stringify({ id: envelope.id, payload: { ok: true } }))
      expect(text((await call).response)).toBe('{"ok":true}')
    })

    it("a hundred Sends at once each get their own reply", async () => {
      const { id } = await connect(door, peers, "/echo")
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, i) => door.call("Send", { id, message: bytes(`{"i":${i}}`) }))
      )
      expect(replies.map(({ response }) => JSON.parse(text(response)).i)).toEqual([...Array(100).keys()])
    })

    it("Send without a reply is SendTimeout; with the socket lost it is SendAborted, sent", async () => {
      const { id, peer } = await connect(door, peers, "/silent")
      const late = await refused(door.call("Send", { id, message: bytes("{}"), timeoutMs: 30 }))
      expect(late).toMatchObject({ tag: "SendTimeout", fields: { id } })
      const call = refused(door.call("Send", { id, message: bytes("{}") }))
      await peers.until(() => peer.frames.length === 2)
      peer.cut()
      expect(await call).toMatchObject({ tag: "SendAborted", fields: { id, sent: "yes" } })
    })

    it("SendRaw sends text, binary and nothing at all, byte for byte", async () => {
      const { id, peer } = await connect(door, peers, "/silent")
      const binary = Buffer.from([0, 1, 128, 255])
      await door.call("SendRaw", { id, message: bytes("grüße 🚀") })
      await door.call("SendRaw", { id, message: binary, contentType: "application/octet-stream" })
      expect(await door.call("SendRaw", { id, message: new Uint8Array() })).toEqual({})
      await peers.until(() => peer.frames.length === 3)
      expect(peer.frames.map((f) => [f.data.toString("latin1"), f.binary])).toEqual([
        [Buffer.from("grüße 🚀").toString("latin1"), false],
        [binary.toString("latin1"), true],
        ["", false]
      ])
      expect(await get(door, id)).toMatchObject({ framesSent: 3 })
    })

    it("a send queue that is full is BufferFull", async () => {
      const { id, peer } = await connect(door, peers, "/slow")
      peer.stopReading()
      const message = Buffer.alloc(1024 * 1024, "x")
      const calls: Array<Promise<unknown>> = []
      const refusals: Array<unknown> = []
      while (refusals.length === 0 && calls.length < 64) {
        const call = door.call("SendRaw", { id, message }).catch((error: unknown) => void refusals.push(error))
        calls.push(call)
        await Promise.race([call, new Promise((resolve) => setTimeout(resolve, 15))])
      }
      expect(refusals[0]).toMatchObject({ tag: "BufferFull" })
      peer.cut()
      await Promise.all(calls)
    })
  })

export const publishing: Part = (_name, context) =>
  describe("publishing", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    it("StartPublish and StopPublish move the frames to a topic and away", async () => {
      const { id, peer } = await connect(door, peers, "/publish")
      peer.send("before")
      await until(async () => (await get(door, id)).framesReceived === 1)
      const started = await door.call("StartPublish", {
        id,
        topic: "there",
        publishing: { packing: "PACKING_PACKED", maxFrames: 2, lingerMs: 1 }
      })
      expect(started.connection).toMatchObject({ id, topic: "there" })
      peer.send("one")
      peer.send("two")
      await until(async () => (await get(door, id)).framesPublished === 2)
      expect((await door.call("StopPublish", { id })).connection).toMatchObject({ topic: "" })
      peer.send("after")
      await until(async () => (await get(door, id)).framesReceived === 4)
      expect(await get(door, id)).toMatchObject({ framesPublished: 2, contentType: "text/plain" })
    })
  })
