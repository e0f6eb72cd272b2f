/** Every operation of the contract over every door, against a whole manager and real sockets. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { type CallOptions, type Door, DOORS, openDoors, refused, type TestServer, until } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { bytes, connect, disconnectAll, get, startPeer, tagged, text } from "./doorConnections.js"

const NOBODY = "0195d7f2-6c1e-7b3a-9a54-3f1f6a2b7c10"

export interface Arrangement {
  /** egress policy: 127.66.0.0/16 is denied */
  readonly start: () => Promise<TestServer>
  /** one instance; else several, and calls arrive at one that does not own what they are about */
  readonly alone: boolean
}

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

export const doorSuite = ({ alone, start }: Arrangement): void => {
  let server: TestServer
  let peers: ScriptedServer
  const others: Array<ScriptedServer> = []
  const peerLike = async (...args: Parameters<typeof ScriptedServer.start>): Promise<ScriptedServer> => {
    const other = await ScriptedServer.start(...args)
    others.push(other)
    return other
  }

  beforeAll(async () => {
    ;[server, peers] = await Promise.all([start(), startPeer()])
  })
  afterEach(async () => {
    await disconnectAll(server.doors.grpc)
    await Promise.all(others.splice(0).map((other) => other.stop()))
  })
  afterAll(async () => {
    await server.stop()
    await peers.stop()
  })

  describe.each(DOORS)("over %s", (name) => {
    const streams = name !== "rpc-http"
    let door: Door
    beforeAll(() => {
      door = server.doors[name]
    })

    describe("a connection's life", () => {
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
        const feed = await peerLike({ subprotocol: "v1", compression: true })
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

    describe("a dial that fails", () => {
      const failing = (request: ConnectRequest) =>
        refused(door.call("Connect", { ...request, tags: { failing: name } }))

      it("tells how, and leaves nothing behind", async () => {
        const stalled = await peerLike()
        stalled.stallOpening()
        const busy = await peerLike()
        busy.refuse(503, { "Retry-After": "60" })
        const tls = await peerLike({ tls: true })
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
        const feed = await peerLike()
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
        const feed = await peerLike()
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

    describe("a caller that gives up", () => {
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

      it.each(["cancels", "sets a deadline"])(
        "and %s leaves no connection and no socket of its Connect",
        async (how) => {
          const stalled = await peerLike()
          stalled.stallOpening()
          await giveUp(
            how,
            (options) => door.call("Connect", { url: stalled.url, tags: { givenUp: name } }, options),
            () => stalled.until(() => stalled.openings.length > 0)
          )
          await until(async () => (await tagged(door, "givenUp", name)).length === 0, "the connection is removed")
          await stalled.until(() => stalled.rawSockets() === 0)
        }
      )

      it("finds its Connect again by its requestId", async () => {
        const feed = await peerLike()
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
        await until(async () => {
          const again = await refused(door.call("Send", { id, message, timeoutMs: 1 }))
          return again.tag === "SendTimeout"
        }, "the slot is free")
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

    describe("messages", () => {
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

    describe("publishing", () => {
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

    describe("tags and lists", () => {
      it("tags are set, read, replaced and deleted; an empty one is told from none", async () => {
        const { id } = await connect(door, peers, "/tags", { tags: { a: "1" } })
        expect(await door.call("SetTag", { id, key: "ключ", value: "значение" })).toEqual({})
        await door.call("SetTag", { id, key: "empty", value: "" })
        expect((await door.call("GetTag", { id, key: "ключ" })).value).toBe("значение")
        expect((await door.call("GetTag", { id, key: "empty" })).value).toBe("")
        expect((await door.call("GetTag", { id, key: "none" })).value).toBeUndefined()
        expect(await door.call("DeleteTag", { id, key: "a" })).toEqual({})
        expect(await door.call("GetTags", { id })).toEqual({ tags: { ключ: "значение", empty: "" } })
        await door.call("SetTags", { id, tags: { only: "this" } })
        expect((await get(door, id)).tags).toEqual({ only: "this" })
        await door.call("SetTags", { id, tags: {} })
        expect(await door.call("GetTags", { id })).toEqual({ tags: {} })
      })

      it("a list is filtered by every part of its query, and paged without a gap or a repetition", async () => {
        const made: Array<string> = []
        for (let i = 0; i < 5; i++) {
          const { id } = await connect(door, peers, `/list/${name}/${i}`, {
            tags: { list: name, n: String(i % 2) },
            topic: `list-${i % 3}`
          })
          made.push(id)
        }
        const filters = [{ key: "list", value: name }]
        const ids = async (query: object) =>
          (await door.call("List", { filters, ...query })).connections.map(({ id }) => made.indexOf(id))
        const owner = (await get(door, made[0]!)).instanceId
        expect(await ids({ filters: [...filters, { key: "n", value: "1" }] })).toEqual([1, 3])
        expect(await ids({ topic: "list-0" })).toEqual([0, 3])
        expect(await ids({ urlPrefix: `${peers.url}/list/${name}/4` })).toEqual([4])
        expect(await ids({ instanceId: owner })).toEqual([0, 1, 2, 3, 4])
        expect(await ids({ instanceId: "elsewhere" })).toEqual([])
        expect(await ids({ statuses: ["CONNECTION_STATUS_FAILED", "CONNECTION_STATUS_CONNECTED"] })).toHaveLength(5)
        expect(await ids({ statuses: ["CONNECTION_STATUS_FAILED"] })).toEqual([])

        const pages: Array<ReadonlyArray<string>> = []
        let pageToken = ""
        do {
          const page = await door.call("List", { filters, pageSize: 2, pageToken })
          pages.push(page.connections.map(({ id }) => id))
          pageToken = page.nextPageToken
        } while (pageToken !== "")
        expect(pages).toEqual([made.slice(0, 2), made.slice(2, 4), made.slice(4)])
      })
    })

    if (alone)
      describe("the fleet of one", () => {
        it("ListInstances shows this instance, Migrate has no target, Rebalance moves nothing", async () => {
          const { id } = await connect(door, peers, "/fleet")
          const { instances } = await door.call("ListInstances", {})
          expect(instances).toHaveLength(1)
          const [me] = instances
          expect(me).toMatchObject({ status: "INSTANCE_STATUS_ALIVE", address: server.httpUrl })
          expect(me!.lastSeenAt.getTime()).toBeGreaterThanOrEqual(me!.startedAt.getTime())
          expect(await refused(door.call("Migrate", { id }))).toMatchObject({ tag: "NoTarget", fields: { id } })
          expect(await refused(door.call("Migrate", { id, targetInstanceId: "nobody" }))).toMatchObject({
            tag: "NoTarget",
            fields: { id, target: "nobody" }
          })
          const balance = await door.call("Rebalance", { dryRun: true })
          const { connections } = await door.call("List", { pageSize: 1000 })
          expect(balance).toEqual({ moved: 0, failed: 0, connections: { [me!.id]: connections.length } })
        })
      })

    if (!streams) {
      it("the streams answer NotAvailable, and say where to go", async () => {
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
      return
    }

    describe("streams", () => {
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
  })

  describe("over all doors together", () => {
    it("the same requestId is the same connection, whatever absent fields look like on the wire", async () => {
      const forms: ReadonlyArray<Partial<ConnectRequest>> = [
        {},
        { autoReconnect: false, awaitOpen: true, tags: { a: "b" }, topic: "t" },
        { keepAlive: { pingIntervalMs: 15_000 }, reconnect: { baseDelayMs: 500 }, buffer: {}, publishing: {} },
        { keepAlive: { pingMessage: bytes("p"), pingBinary: new Uint8Array() }, correlation: { requestPath: "$.a" } },
        { handshake: [{ sendText: bytes("a") }, { sendBinary: new Uint8Array() }], subprotocols: [], headers: {} },
        { reconnect: { factor: 0, giveUpCodes: [], retryCodes: [4000] }, maxMessageBytes: 0, compression: false },
        { buffer: { overflow: "OVERFLOW_PAUSE" }, onLeaseLoss: "LEASE_LOSS_UNSPECIFIED", correlation: {} }
      ]
      for (const [i, form] of forms.entries()) {
        const request = { url: `${peers.url}/idempotent`, requestId: `idempotent-${i}`, ...form }
        const before = peers.openings.length
        const answers = await Promise.all(DOORS.map((name) => server.doors[name].call("Connect", request)))
        const again = await Promise.all(DOORS.map((name) => server.doors[name].call("Connect", request)))
        expect(new Set([...answers, ...again].map(({ id }) => id)).size, `form ${i}`).toBe(1)
        expect(answers[0]!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/)
        expect(peers.openings).toHaveLength(before + 1)
        for (const name of DOORS) {
          const error = await refused(server.doors[name].call("Connect", { ...request, maxMessageBytes: 5 }))
          expect(error).toMatchObject({ tag: "InvalidRequest", fields: { field: "requestId" } })
        }
        await server.doors.grpc.call("Disconnect", { id: answers[0]!.id })
      }
    })

    it("what one door does shows at the others", async () => {
      const { id } = await connect(server.doors.grpc, peers, "/shared")
      await server.doors["rpc-ws"].call("SetTag", { id, key: "from", value: "rpc-ws" })
      const seen = await Promise.all(DOORS.map((name) => get(server.doors[name], id)))
      expect(seen[0]!.tags).toEqual({ from: "rpc-ws" })
      expect(seen[1]).toEqual(seen[0])
      expect(seen[2]).toEqual(seen[0])
    })

    it("a thousand streams are open at most, over all of them; one that ends makes room", async () => {
      const [ws, grpc] = [server.doors["rpc-ws"], server.doors.grpc]
      const open = (door: Door, count: number) =>
        Promise.all(Array.from({ length: count }, () => door.stream("Watch", { ids: [NOBODY] })))
      // one connection of gRPC has 250 streams at most, and one client three quarters of all
      const more = Array.from({ length: 3 }, () => openDoors(server).grpc)
      const readers = (await Promise.all([open(ws, 100), ...[grpc, ...more].map((door) => open(door, 225))])).flat()
      for (const door of [ws, grpc]) {
        expect(await refused(door.stream("Watch", {}))).toMatchObject({
          tag: "QuotaExceeded",
          fields: { quota: "streams" }
        })
      }
      await readers.pop()!.cancel()
      await until(async () => {
        try {
          readers.push(await ws.stream("Watch", {}))
          return true
        } catch {
          return false
        }
      }, "there is room again")
      await Promise.all(readers.map((reader) => reader.cancel()))
      await Promise.all(more.map((door) => door.close()))
    })

    it("one client has three quarters of the streams at most, and others still have theirs", async () => {
      const [ws, grpc] = [server.doors["rpc-ws"], server.doors.grpc]
      const open = (door: Door, count: number) =>
        Promise.all(Array.from({ length: count }, () => door.stream("Watch", { ids: [NOBODY] })))
      const readers = await open(ws, 750)
      expect(await refused(ws.stream("Watch", {}))).toMatchObject({
        tag: "QuotaExceeded",
        fields: { quota: "streams of one client" }
      })
      readers.push(...(await open(grpc, 200)))
      await Promise.all(readers.map((reader) => reader.cancel()))
    })
  })
}
