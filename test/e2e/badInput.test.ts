/** What must not be done, over every door: each the right error with the right field, nothing changed, the manager alive. */
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import { CALLER } from "../../src/domain/Limits.js"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { BAD_REQUESTS, type RequestKind, SOME_ID } from "../support/BadRequests.js"
import { type Door, type DoorName, DOORS, grpcBytes, type Refused, refused, startServer, type TestServer } from "../support/Doors.js" // prettier-ignore
import type { ScriptedServer } from "../support/ScriptedServer.js"
import { bytes, connect, type Connected, startPeer, text } from "./doorConnections.js"

const NOBODY = "0195d7f2-6c1e-7b3a-9a54-000000000000"
const MAX_UINT32 = 2 ** 32 - 1
const MIB = 1024 * 1024

let server: TestServer
let peers: ScriptedServer
let kept: Connected
let before: unknown

/** All that a bad request could have changed. */
const state = async () => {
  const { connections, nextPageToken } = await server.doors["rpc-ws"].call("List", {})
  return { connections, nextPageToken, dials: peers.openings.length, frames: kept.peer.frames.length }
}

beforeAll(async () => {
  ;[server, peers] = await Promise.all([startServer(), startPeer()])
  kept = await connect(server.doors.grpc, peers, "/kept", { tags: { kept: "yes" }, topic: "kept" })
  before = await state()
})
afterEach(async () => {
  expect(await state(), "nothing was changed").toEqual(before)
})
afterAll(async () => {
  await server.stop()
  await peers.stop()
})

type AnyCall = (method: string, request: unknown) => Promise<unknown>

/** Any request by any method, without the help of types. */
const ask = (name: DoorName, method: string, request: unknown): Promise<Refused> => {
  const door: Door = server.doors[name]
  const open = (["Receive", "Subscribe", "Watch"].includes(method) ? door.stream : door.call) as AnyCall
  return refused(open(method, request))
}

const methodOf = (kind: RequestKind): string => kind.charAt(0).toUpperCase() + kind.slice(1)

describe.each(DOORS)("over %s", (name) => {
  const isStream = (method: string) => ["Receive", "Subscribe", "Watch"].includes(method)

  describe("the table of bad requests", () => {
    const carried = BAD_REQUESTS.filter((bad) => name !== "grpc" || bad.protobuf !== false)

    it.each(carried)("$kind: $name is InvalidRequest, naming $field", async ({ field, kind, request }) => {
      const method = methodOf(kind)
      const asked = request["id"] === SOME_ID ? { ...request, id: kept.id } : request
      const { fields, tag } = await ask(name, method, asked)
      if (name === "rpc-http" && isStream(method)) return expect(tag).toBe("NotAvailable")
      expect([tag, fields["field"]]).toEqual(["InvalidRequest", field])
      expect(fields["reason"]).toMatch(/^[^\p{Cc}]+$/u)
    })
  })

  it("an id that nobody has is ConnectionNotFound, by every method", async () => {
    const more: Readonly<Record<string, object>> = {
      Get: {},
      Reconnect: {},
      Disconnect: {},
      StartPublish: { topic: "t" },
      StopPublish: {},
      Migrate: {},
      Send: { message: bytes("{}") },
      SendRaw: { message: bytes("x") },
      GetTags: {},
      SetTags: { tags: {} },
      SetTag: { key: "k", value: "v" },
      GetTag: { key: "k" },
      DeleteTag: { key: "k" },
      Receive: {}
    }
    const answers = await Promise.all(
      Object.entries(more).map(async ([method, rest]) => {
        const { fields, tag } = await ask(name, method, { id: NOBODY, ...rest })
        return [method, tag, fields["id"]]
      })
    )
    expect(answers).toEqual(
      Object.keys(more).map((method) =>
        name === "rpc-http" && isStream(method)
          ? [method, "NotAvailable", undefined]
          : [method, "ConnectionNotFound", NOBODY]
      )
    )
  })

  it("a message that its mode cannot carry is InvalidRequest, and never reaches the peer", async () => {
    for (const [message, mode] of [
      ["no JSON", "CORRELATION_MODE_JSON_FIELD"],
      ["[1]", "CORRELATION_MODE_JSON_FIELD"],
      ["", "CORRELATION_MODE_ENVELOPE"],
      ["", "CORRELATION_MODE_PREFIX"]
    ] as const) {
      const { fields, tag } = await ask(name, "Send", {
        id: kept.id,
        message: bytes(message),
        correlation: { mode },
        timeoutMs: 50
      })
      expect([message, tag, fields["field"]]).toEqual([message, "InvalidRequest", "message"])
    }
  })

  it("the name __proto__ is refused for whatever a caller names, and is not taken for another one", async () => {
    const named = Object.fromEntries([["__proto__", "$.v"]])
    for (const [method, part, field] of [
      ["Connect", { url: peers.url, tags: named }, /^tags\.__proto__?$/],
      ["Connect", { url: peers.url, headers: named }, /^headers\.__proto__?$/],
      ["Connect", { url: peers.url, handshake: [{ expect: { capture: named } }] }, /^handshake.0.?\.expect\.capture\./],
      ["SetTags", { id: kept.id, tags: named }, /^tags\.__proto__?$/],
      ["SetTag", { id: kept.id, key: "__proto__", value: "v" }, /^key$/]
    ] as const) {
      const { fields, tag } = await ask(name, method, part)
      expect([method, tag, fields["field"]]).toEqual([method, "InvalidRequest", expect.stringMatching(field)])
    }
  })

  it("a secret that leaves its directory is refused wherever it stands, before anything is dialled", async () => {
    for (const [field, part] of [
      ["url", { url: `${peers.url}/?t=\${secret:../x}` }],
      ["headers.A", { headers: { A: "secret:../x" } }],
      ["headers.A", { headers: { A: "secret:/etc/passwd" } }],
      ["subprotocols[0]", { subprotocols: ["${secret:..%2fx}"] }],
      ["handshake[0].sendText", { handshake: [{ sendText: bytes("${secret:../x}") }] }]
    ] as const) {
      const { fields, tag } = await ask(name, "Connect", { url: peers.url, ...part })
      expect([tag, fields["field"]]).toEqual(["InvalidRequest", field])
    }
  })
})

describe("what is on the edge is taken", () => {
  afterEach(async () => {
    const { connections } = await server.doors.grpc.call("List", { filters: [{ key: "edge", value: "yes" }] })
    await Promise.all(connections.map(({ id }) => server.doors.grpc.call("Disconnect", { id })))
    before = { ...(before as object), dials: peers.openings.length }
  })

  it.each(DOORS)(
    "over %s: times of 0 are the defaults, the longest times are long and not over at once",
    async (name) => {
      const door = server.doors[name]
      for (const [ms, delay, count] of [
        [0, 0, 0],
        [CALLER.TIMEOUT_MS, CALLER.DELAY_MS, MAX_UINT32]
      ] as const) {
        const { id, peer } = await connect(door, peers, "/late", {
          tags: { edge: "yes" },
          handshake: [{ sendText: bytes("hello") }, { expect: { equals: "welcome", timeoutMs: ms } }],
          keepAlive: { pingIntervalMs: ms, deadAfterMs: ms, idleAfterMs: delay },
          reconnect: { baseDelayMs: delay, maxDelayMs: delay, stableAfterMs: delay, dialTimeoutMs: ms },
          buffer: { maxFrames: count, maxBytes: count },
          publishing: { packing: "PACKING_PACKED", lingerMs: ms, maxFrames: count, maxBytes: count },
          topic: "edge"
        })
        const reply = await door.call("Send", { id, message: bytes('{"a":1}'), timeoutMs: ms })
        expect(JSON.parse(text(reply.response))).toEqual({ a: 1, id: 1 })
        peer.send("a frame to publish")
        const { connection } = await door.call("Get", { id })
        expect([connection.status, peer.open, peer.pings]).toEqual(["CONNECTION_STATUS_CONNECTED", true, 0])
        const { connections } = await door.call("List", { pageSize: count, filters: [{ key: "edge", value: "yes" }] })
        expect(connections.map((c) => c.id)).toContain(id)
        expect((await door.call("Rebalance", { maxMoves: count, dryRun: true })).moved).toBe(0)
      }
    }
  )

  it("Drain takes either time", async () => {
    for (const timeoutMs of [0, CALLER.TIMEOUT_MS]) {
      const other = await startServer()
      await connect(other.doors.grpc, peers, "/")
      expect(await other.doors.grpc.call("Drain", { timeoutMs })).toEqual({ migrated: 0, closed: 0, abandoned: 1 })
      await other.stop()
    }
  })
})

/** MessagePack with plain maps, as a library of another language writes it. */
const plain = RpcSerialization.makeMsgPack({ useRecords: false, mapsAsObjects: true })
const pack = (message: unknown): Uint8Array => plain.unsafeMake().encode(message) as Uint8Array
const rpc = (tag: string, payload: unknown) => pack({ _tag: "Request", id: "7", tag, payload, headers: [] })

interface HttpAnswer {
  readonly status: number
  readonly body: Buffer
}
const http = (method: string, path: string, headers: Http.OutgoingHttpHeaders = {}, body?: Uint8Array) =>
  new Promise<HttpAnswer>((resolve, reject) => {
    const request = Http.request(new URL(path, server.httpUrl), { method, headers, agent: false }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () => resolve({ status: response.statusCode!, body: Buffer.concat(chunks) }))
    })
    request.on("error", reject)
    request.on("upgrade", () => reject(new Error("the upgrade was let in")))
    request.end(body)
  })
const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="
}

describe("the HTTP port", () => {
  const FOREIGN: ReadonlyArray<readonly [what: string, headers: Http.OutgoingHttpHeaders]> = [
    ["Origin of another site", { Origin: "https://evil.example" }],
    ["Origin that is null", { Origin: "null" }],
    ["Origin of another local port", { Origin: "http://127.0.0.1:1" }],
    ["Host of another site", { Host: "evil.example" }],
    ["Host that is rebound", { Host: "evil.example:5001", Origin: "http://evil.example:5001" }],
    ["Host that is another address", { Host: "10.0.0.1" }]
  ]
  const PATHS = ["/alive", "/health", "/health/live", "/health/ready", "/metrics", "/rpc/ws", "/", "/v1/connections"]

  it.each(FOREIGN)("answers 403 to a request and to an upgrade with a foreign %s", async (_what, headers) => {
    const call = rpc("SetTag", { id: kept.id, key: "evil", value: "yes" })
    const answers = await Promise.all([
      ...PATHS.map((path) => http("GET", path, headers)),
      http("POST", "/rpc", headers, call),
      http("GET", "/rpc/ws", { ...UPGRADE, ...headers }),
      http("GET", "/elsewhere", { ...UPGRADE, ...headers })
    ])
    for (const { body, status } of answers) {
      expect([status, JSON.parse(String(body)).title]).toEqual([403, "PermissionDenied"])
    }
  })

  it("answers what is no MessagePack, no message, or no method of ours, and never more than the one call", async () => {
    const whole = rpc("Get", { id: kept.id })
    for (const body of [bytes(""), bytes("not msgpack"), Buffer.alloc(5000, 0xc1), whole.subarray(0, -1)]) {
      const answer = await http("POST", "/rpc", {}, body)
      const { field, title } = JSON.parse(String(answer.body))
      expect([answer.status, title, field]).toEqual([400, "InvalidRequest", "body"])
    }
    const table: ReadonlyArray<readonly [tag: string, payload: unknown, field: string]> = [
      ["Explode", {}, "tag"],
      ["__proto__", {}, "tag"],
      ["Get", {}, "id"],
      ["Get", { id: 5 }, "id"],
      ["Get", { id: null }, "id"],
      ["Get", [], ""],
      ["SetTags", { id: kept.id, tags: { kept: 7 } }, "tags.kept"],
      ["Send", { id: kept.id, message: "text" }, "message"],
      ["List", { statuses: ["CONNECTION_STATUS_GONE"] }, "statuses.0"],
      ["Connect", { url: peers.url, buffer: { overflow: 99 } }, "buffer.overflow"],
      ["Connect", { url: peers.url, handshake: { length: 1 } }, "handshake"],
      ["Connect", { url: peers.url, headers: [["A", "b"]] }, "headers"]
    ]
    for (const [tag, payload, field] of table) {
      const answer = await http("POST", "/rpc", {}, rpc(tag, payload))
      const [exit] = plain.unsafeMake().decode(answer.body) as ReadonlyArray<{ exit: { cause: { error: unknown } } }>
      expect([answer.status, exit!.exit.cause.error]).toMatchObject([200, { _tag: "InvalidRequest", field }])
    }
  })

  it("closes a WebSocket that brings no MessagePack, text, or more than 24 MiB", async () => {
    for (const [data, code] of [
      [rpc("Get", { id: kept.id }).subarray(0, -1), 1007],
      ["text", 1003],
      [Buffer.alloc(24 * MIB + 1), 1009]
    ] as const) {
      const ws = new WebSocket(`${server.httpUrl.replace("http", "ws")}/rpc/ws`)
      await once(ws, "open")
      const closed = once(ws, "close")
      ws.send(data)
      expect((await closed)[0]).toBe(code)
    }
  })

  it("refuses a body over 24 MiB", async () => {
    const outcome = http("POST", "/rpc", {}, Buffer.alloc(24 * MIB + 1)).then(
      ({ status }) => status,
      () => "cut"
    )
    expect([413, "cut"]).toContain(await outcome)
  })

  it("answers 404 in one line to what is not there yet, and lives on after bytes that are no HTTP", async () => {
    for (const path of ["/v1/connections", "/openapi.json", "/docs", "/", "/..%2f..%2fetc/passwd"]) {
      const { body, status } = await http("GET", path)
      expect([status, String(body).trimEnd().includes("\n")]).toEqual([404, false])
    }
    const { port } = new URL(server.httpUrl)
    await garbage(Number(port))
    expect((await http("GET", "/alive")).status).toBe(200)
  })
})

/** Bytes that no protocol of ours begins with; done when the port has closed the socket, or taken the bytes for a second. */
const garbage = async (port: number): Promise<void> => {
  const socket = Net.connect(port, "127.0.0.1")
  socket.on("error", () => {})
  const closed = once(socket, "close").catch(() => {})
  socket.end(Buffer.from("\u0000\u0001garbage\r\n\r\n".repeat(50)))
  socket.resume()
  await closed
}

describe("the gRPC port", () => {
  it("answers malformed protobuf and text that is not UTF-8 with InvalidRequest", async () => {
    for (const message of [
      Buffer.from([0x0a, 0x7f, 0x61]), // a text of 127 bytes with one byte in it
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x0b, 0x0b, 0x0b]), // groups that never end
      Buffer.from([0x0a, 0x02, 0xc3, 0x28]),
      Buffer.alloc(4096, 0x80)
    ]) {
      expect(await refused(grpcBytes(server.grpcAddress, "Get", message))).toMatchObject({
        tag: "InvalidRequest",
        fields: { field: "" }
      })
    }
  })

  it("answers enum numbers that the proto does not have with InvalidRequest, naming the field", async () => {
    const table: ReadonlyArray<readonly [method: string, part: object, field: string]> = [
      ["Connect", { buffer: { overflow: 99 } }, "buffer.overflow"],
      ["Connect", { publishing: { packing: -1 } }, "publishing.packing"],
      ["Connect", { correlation: { mode: 5 } }, "correlation.mode"],
      ["Connect", { onLeaseLoss: 3 }, "onLeaseLoss"],
      ["Connect", { handover: 2_000_000_000 }, "handover"],
      ["List", { statuses: [2, 77] }, "statuses[1]"],
      ["Drain", { mode: 3 }, "mode"],
      ["Send", { message: bytes("{}"), correlation: { mode: 9 } }, "correlation.mode"]
    ]
    for (const [method, part, field] of table) {
      const { fields, tag } = await ask("grpc", method, { id: kept.id, url: peers.url, ...part })
      expect([method, tag, fields["field"]]).toEqual([method, "InvalidRequest", field])
    }
  })

  it("answers what it does not have with UNIMPLEMENTED, and a message over 17 MiB with RESOURCE_EXHAUSTED", async () => {
    expect((await refused(grpcBytes(server.grpcAddress, "Explode", bytes("")))).tag).toBe("grpc:UNIMPLEMENTED")
    const large = await refused(grpcBytes(server.grpcAddress, "SendRaw", Buffer.alloc(17 * MIB + 1)))
    expect(large.tag).toBe("grpc:RESOURCE_EXHAUSTED")
  })

  it("lives on after bytes that are no HTTP/2", async () => {
    await garbage(Number(server.grpcAddress.split(":")[1]))
    expect((await server.doors.grpc.call("Get", { id: kept.id })).connection.id).toBe(kept.id)
  })
})

describe("a page token", () => {
  it("of another query is InvalidRequest over every door; of the same one it goes from door to door", async () => {
    const { id } = await connect(server.doors.grpc, peers, "/page", { tags: { page: "yes" } })
    for (const name of DOORS) {
      const { nextPageToken: pageToken } = await server.doors[name].call("List", { pageSize: 1 })
      expect(pageToken).not.toBe("")
      for (const other of [{ topic: "kept" }, { filters: [{ key: "kept", value: "yes" }] }, { urlPrefix: "ws" }]) {
        const { fields, tag } = await ask(name, "List", { ...other, pageToken })
        expect([tag, fields["field"]]).toEqual(["InvalidRequest", "pageToken"])
      }
      for (const next of DOORS) {
        const { connections } = await server.doors[next].call("List", { pageSize: 1, pageToken })
        expect(connections.map((c) => c.id)).toEqual([[kept.id, id].toSorted()[1]])
      }
    }
    await server.doors.grpc.call("Disconnect", { id })
    before = { ...(before as object), dials: peers.openings.length }
  })
})

describe("after all of it", () => {
  it.each(DOORS)("the manager works over %s, and the connection is the one it was", async (name) => {
    const door = server.doors[name]
    const { connection } = await door.call("Get", { id: kept.id })
    expect(connection).toEqual(kept.connection)
    const { id } = await connect(door, peers, "/echo")
    const { response } = await door.call("Send", { id, message: bytes('{"id":1}') })
    expect(text(response)).toBe('{"id":1}')
    await door.call("Disconnect", { id })
    before = { ...(before as object), dials: peers.openings.length }
    expect((await fetch(`${server.httpUrl}/health/ready`)).status).toBe(200)
  })
})
