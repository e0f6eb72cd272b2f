/** Every method and every error, as a stock client sees them. */
import * as grpc from "@grpc/grpc-js"
import { assert, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as E from "../../src/domain/Errors.js"
import type * as M from "../../src/domain/Messages.js"
import { type Answer, detailsOf, type Manager, next, open, stream, unary, unaryBytes } from "./grpcDoor.js"

const AT = new Date("2026-11-20T10:00:00.250Z")
const AT_WIRE = { seconds: Math.floor(AT.getTime() / 1000), nanos: 250_000_000 }

const connection: M.Connection = {
  id: "c1",
  url: "ws://feed/",
  status: "CONNECTION_STATUS_CONNECTED",
  topic: "",
  instanceId: "a",
  contentType: "",
  tags: { k: "v" },
  autoReconnect: true,
  epoch: 2 ** 33 + 5,
  createdAt: AT,
  framesReceived: 2 ** 52 + 1,
  framesPublished: 0,
  framesDropped: 0,
  framesSent: 0,
  reconnectAttempts: 0,
  lastError: "",
  lastCloseCode: 0
}
const connectionWire = {
  id: "c1",
  url: "ws://feed/",
  status: "CONNECTION_STATUS_CONNECTED",
  topic: "",
  instance_id: "a",
  content_type: "",
  tags: { k: "v" },
  auto_reconnect: true,
  epoch: 2 ** 33 + 5,
  created_at: AT_WIRE,
  connected_at: null,
  last_frame_at: null,
  frames_received: 2 ** 52 + 1,
  frames_published: 0,
  frames_dropped: 0,
  frames_sent: 0,
  reconnect_attempts: 0,
  last_error: "",
  last_close_code: 0
}
const instance: M.Instance = {
  id: "a",
  incarnation: "i1",
  status: "INSTANCE_STATUS_DRAINING",
  address: "http://a:5001",
  connections: 3,
  startedAt: AT,
  lastSeenAt: AT
}

interface Exchange {
  readonly method: string
  readonly operation: keyof Manager
  /** what the client sends */
  readonly sent: object
  /** what the manager is called with */
  readonly called: ReadonlyArray<unknown>
  readonly answers: unknown
  /** what the client gets */
  readonly got: object
}
const NO_TYPE = { contentType: "" }

const EXCHANGES: ReadonlyArray<Exchange> = [
  {
    method: "Connect",
    operation: "connect",
    sent: { url: "ws://feed", auto_reconnect: false, handshake: [{ expect: { json_path: "$.type" } }] },
    called: [
      {
        url: "ws://feed",
        autoReconnect: false,
        tags: {},
        topic: "",
        requestId: "",
        headers: {},
        subprotocols: [],
        handshake: [{ expect: { jsonPath: "$.type", equals: "", timeoutMs: 0, capture: {} } }],
        onLeaseLoss: "LEASE_LOSS_UNSPECIFIED",
        handover: "HANDOVER_UNSPECIFIED",
        maxMessageBytes: 0,
        maxReplyBytes: 0,
        compression: false
      }
    ],
    answers: { id: "c1", status: "CONNECTION_STATUS_CONNECTED", connection },
    got: { id: "c1", status: "CONNECTION_STATUS_CONNECTED", connection: connectionWire }
  },
  {
    method: "Disconnect",
    operation: "disconnect",
    sent: { id: "c1", code: 3001, reason: "bye" },
    called: [{ id: "c1", code: 3001, reason: "bye" }],
    answers: undefined,
    got: {}
  },
  {
    method: "Reconnect",
    operation: "reconnect",
    sent: { id: "c1" },
    called: ["c1"],
    answers: connection,
    got: { connection: connectionWire }
  },
  {
    method: "Get",
    operation: "get",
    sent: { id: "c1" },
    called: ["c1"],
    answers: connection,
    got: { connection: connectionWire }
  },
  {
    method: "List",
    operation: "list",
    sent: { filters: [{ key: "k", value: "v" }], statuses: ["CONNECTION_STATUS_FAILED"], page_size: 7 },
    called: [
      {
        filters: [{ key: "k", value: "v" }],
        statuses: ["CONNECTION_STATUS_FAILED"],
        topic: "",
        instanceId: "",
        urlPrefix: "",
        pageSize: 7,
        pageToken: ""
      }
    ],
    answers: { connections: [connection, connection], nextPageToken: "n" },
    got: { connections: [connectionWire, connectionWire], next_page_token: "n" }
  },
  {
    method: "StartPublish",
    operation: "startPublish",
    sent: { id: "c1", topic: "t", publishing: { packing: "PACKING_PACKED" } },
    called: [
      {
        id: "c1",
        topic: "t",
        publishing: { packing: "PACKING_PACKED", maxFrames: 0, maxBytes: 0, lingerMs: 0, textContentType: "" }
      }
    ],
    answers: connection,
    got: { connection: connectionWire }
  },
  {
    method: "StopPublish",
    operation: "stopPublish",
    sent: { id: "c1" },
    called: ["c1"],
    answers: connection,
    got: { connection: connectionWire }
  },
  {
    method: "Send",
    operation: "send",
    sent: { id: "c1", message: Buffer.from([0, 255]), timeout_ms: 4_294_967_295 },
    called: [{ id: "c1", message: new Uint8Array([0, 255]), timeoutMs: 4_294_967_295, ...NO_TYPE }],
    answers: { response: new Uint8Array([1, 2]), contentType: "text/plain" },
    got: { response: Buffer.from([1, 2]), content_type: "text/plain" }
  },
  {
    method: "SendRaw",
    operation: "sendRaw",
    sent: { id: "c1", message: Buffer.alloc(0) },
    called: [{ id: "c1", message: new Uint8Array(0), ...NO_TYPE }],
    answers: undefined,
    got: {}
  },
  {
    method: "SetTag",
    operation: "setTag",
    sent: { id: "c1", key: "k", value: "ü𝄞" },
    called: ["c1", "k", "ü𝄞"],
    answers: undefined,
    got: {}
  },
  {
    method: "GetTag",
    operation: "getTag",
    sent: { id: "c1", key: "k" },
    called: ["c1", "k"],
    answers: "",
    got: { value: "", _value: "value" }
  },
  {
    method: "SetTags",
    operation: "setTags",
    sent: { id: "c1", tags: { a: "1" } },
    called: ["c1", { a: "1" }],
    answers: undefined,
    got: {}
  },
  {
    method: "GetTags",
    operation: "getTags",
    sent: { id: "c1" },
    called: ["c1"],
    answers: { a: "1" },
    got: { tags: { a: "1" } }
  },
  {
    method: "DeleteTag",
    operation: "deleteTag",
    sent: { id: "c1", key: "k" },
    called: ["c1", "k"],
    answers: undefined,
    got: {}
  },
  {
    method: "Migrate",
    operation: "migrate",
    sent: { id: "c1", target_instance_id: "b" },
    called: [{ id: "c1", targetInstanceId: "b" }],
    answers: connection,
    got: { connection: connectionWire }
  },
  {
    method: "Drain",
    operation: "drain",
    sent: { mode: "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE" },
    called: [{ mode: "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE", timeoutMs: 0 }],
    answers: { migrated: 1, closed: 2, abandoned: 3 },
    got: { migrated: 1, closed: 2, abandoned: 3 }
  },
  {
    method: "Rebalance",
    operation: "rebalance",
    sent: { max_moves: 5, dry_run: true },
    called: [{ maxMoves: 5, dryRun: true }],
    answers: { moved: 1, failed: 0, connections: { a: 2, b: 3 } },
    got: { moved: 1, failed: 0, connections: { a: 2, b: 3 } }
  }
]

const ERRORS: ReadonlyArray<readonly [error: E.ManagerError, status: number, reason: string, metadata: object]> = [
  [new E.InvalidRequest({ field: "url", reason: "no" }), 3, "INVALID_REQUEST", { field: "url", reason: "no" }],
  [new E.Unauthenticated(), 16, "UNAUTHENTICATED", {}],
  [new E.PermissionDenied({ reason: "no" }), 7, "PERMISSION_DENIED", { reason: "no" }],
  [new E.TargetForbidden({ host: "h", reason: "no" }), 7, "TARGET_FORBIDDEN", { host: "h", reason: "no" }],
  [new E.ConnectionNotFound({ id: "c1" }), 5, "CONNECTION_NOT_FOUND", { id: "c1" }],
  [
    new E.ConnectionNotOpen({ id: "c1", status: "CONNECTION_STATUS_FAILED" }),
    9,
    "CONNECTION_NOT_OPEN",
    { id: "c1", status: "CONNECTION_STATUS_FAILED" }
  ],
  [new E.DialFailed({ kind: "http", httpStatus: 403 }), 14, "DIAL_FAILED", { kind: "http", httpStatus: "403" }],
  [new E.SendTimeout({ id: "c1" }), 4, "SEND_TIMEOUT", { id: "c1" }],
  [new E.SendAborted({ id: "c1", sent: "unknown" }), 10, "SEND_ABORTED", { id: "c1", sent: "unknown" }],
  [new E.NoTarget({ id: "c1", target: "b" }), 9, "NO_TARGET", { id: "c1", target: "b" }],
  [new E.NotAvailable({ feature: "f", reason: "no" }), 9, "NOT_AVAILABLE", { feature: "f", reason: "no" }],
  [new E.BufferFull({ what: "queue" }), 8, "BUFFER_FULL", { what: "queue" }],
  [new E.QuotaExceeded({ quota: "q" }), 8, "QUOTA_EXCEEDED", { quota: "q" }],
  [new E.InstanceDraining({ id: "a" }), 14, "INSTANCE_DRAINING", { id: "a" }],
  [
    new E.OwnerUnreachable({ owner: "b", executed: "unknown" }),
    14,
    "OWNER_UNREACHABLE",
    { owner: "b", executed: "unknown" }
  ],
  [new E.StateStoreUnavailable({ outcome: "unknown" }), 14, "STATE_STORE_UNAVAILABLE", { outcome: "unknown" }],
  [new E.PubSubUnavailable({}), 14, "PUB_SUB_UNAVAILABLE", {}]
]

describe("methods over gRPC", () => {
  for (const { answers, called, got, method, operation, sent } of EXCHANGES) {
    it.scopedLive(`${method} carries its request to the manager and the answer back`, () =>
      Effect.gen(function* () {
        const calls: Array<ReadonlyArray<unknown>> = []
        const { client, metrics } = yield* open({
          [operation]: (...args: ReadonlyArray<unknown>) => {
            calls.push(args)
            return Effect.succeed(answers)
          }
        })
        expect(yield* unary(client, method, sent)).toEqual(got)
        expect(calls).toEqual([called])
        expect(metrics.rpcSeconds("grpc", method, "OK").count).toBe(1)
      })
    )
  }

  it.scopedLive("ListInstances answers with every instance", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ listInstances: Effect.succeed([instance]) })
      const { instances } = yield* unary(client, "ListInstances", {})
      const times = { started_at: AT_WIRE, last_seen_at: AT_WIRE }
      const { lastSeenAt: _, startedAt: __, ...rest } = instance
      expect(instances).toEqual([{ ...rest, ...times }])
    })
  )

  it.scopedLive("an unset tag is told from an empty one", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ getTag: () => Effect.succeed(undefined) })
      expect(yield* unary(client, "GetTag", { id: "c1", key: "k" })).not.toHaveProperty("value")
    })
  )

  const collect = (client: grpc.Client, method: string, request: object) =>
    Effect.gen(function* () {
      const call = stream(client, method, request)
      const items: Array<Answer> = []
      call.on("data", (item) => items.push(item))
      const status = yield* next<grpc.StatusObject>(call, "status")
      return { items, status }
    })

  it.scopedLive("Receive, Subscribe and Watch stream their items and end", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const frame = { contentType: "text/plain", epoch: 2 ** 32 + 1, receivedAt: AT, missed: 0 }
      const frames = [1, 2, 3].map((sequence) => ({ ...frame, sequence, data: new Uint8Array([sequence]) }))
      const event = {
        type: "gap",
        connectionId: "c1",
        instanceId: "a",
        time: AT,
        attributes: { cause: "x" },
        missed: 2
      }
      const { client } = yield* open({
        receive: (id) => Effect.sync(() => (asked.push(id), Stream.fromIterable(frames))),
        subscribe: (topic) =>
          Effect.sync(() => (asked.push(topic), Stream.make({ event: new Uint8Array(2), missed: 1 }))),
        watch: (request) => Effect.sync(() => (asked.push(request), Stream.make(event)))
      })
      const received = yield* collect(client, "Receive", { id: "c1" })
      expect(received.items.map((f) => [f.sequence, [...f.data], f.epoch, f.received_at])).toEqual(
        [1, 2, 3].map((n) => [n, [n], 2 ** 32 + 1, AT_WIRE])
      )
      expect(received.status.code).toBe(grpc.status.OK)
      const subscribed = yield* collect(client, "Subscribe", { topic: "t" })
      expect(subscribed.items).toEqual([{ event: Buffer.alloc(2), missed: 1 }])
      const watched = yield* collect(client, "Watch", { ids: ["c1"] })
      expect(watched.items).toEqual([
        { type: "gap", connection_id: "c1", instance_id: "a", time: AT_WIRE, attributes: { cause: "x" }, missed: 2 }
      ])
      expect(asked).toEqual(["c1", "t", { ids: ["c1"], filters: [] }])
    })
  )
})

describe("errors over gRPC", () => {
  it("the table above has every error of the contract", () => {
    expect(ERRORS.map(([error]) => error._tag).sort()).toEqual(Object.keys(E.ERROR_TABLE).sort())
  })

  for (const [error, code, reason, metadata] of ERRORS) {
    it.scopedLive(`${error._tag} is ${grpc.status[code]} with ErrorInfo ${reason}`, () =>
      Effect.gen(function* () {
        const { client, metrics } = yield* open({
          get: () => Effect.fail(error as never),
          receive: () => Effect.fail(error as never)
        })
        const expected = {
          code,
          message: error.message,
          type: "type.googleapis.com/google.rpc.ErrorInfo",
          info: { reason, domain: "websocketmanager", metadata }
        }
        const failed = yield* Effect.flip(unary(client, "Get", { id: "c1" }))
        expect([failed.code, failed.details]).toEqual([code, error.message])
        expect(detailsOf(failed)).toEqual(expected)
        expect(metrics.rpcSeconds("grpc", "Get", error._tag).count).toBe(1)
        const status = yield* next<grpc.StatusObject>(stream(client, "Receive", { id: "c1" }), "status")
        expect(status.code).toBe(code)
        expect(detailsOf(status)).toEqual(expected)
      })
    )
  }

  it.scopedLive("a stream that fails delivers what came before, then the error", () =>
    Effect.gen(function* () {
      const item = { event: new Uint8Array([7]), missed: 0 }
      const failing = Stream.concat(
        Stream.make(item, item),
        Stream.fail(new E.SendAborted({ id: "c1", sent: "no" }) as never)
      )
      const { client } = yield* open({ subscribe: () => Effect.succeed(failing) })
      const call = stream(client, "Subscribe", { topic: "t" })
      let items = 0
      call.on("data", () => (items += 1))
      const status = yield* next<grpc.StatusObject>(call, "status")
      expect([items, status.code]).toEqual([2, grpc.status.ABORTED])
      expect(detailsOf(status).info.reason).toBe("SEND_ABORTED")
    })
  )

  it.scopedLive("a long text, half a surrogate pair and line breaks in an error do not break the answer", () =>
    Effect.gen(function* () {
      const reason = `\ud800 100 % \n${"漢".repeat(5000)}`
      const { client } = yield* open({ get: () => Effect.fail(new E.InvalidRequest({ field: "url", reason })) })
      const failed = yield* Effect.flip(unary(client, "Get", { id: "c1" }))
      expect(failed.code).toBe(grpc.status.INVALID_ARGUMENT)
      expect(failed.details.startsWith("url: \ufffd 100 % \n漢漢")).toBe(true)
      expect(failed.details.length).toBe(512)
      expect(detailsOf(failed).info.reason).toBe("INVALID_REQUEST")
    })
  )

  it.scopedLive("a defect is INTERNAL and its text stays here", () =>
    Effect.gen(function* () {
      const secret = () => Effect.die(new Error("password=hunter2"))
      const { client, logs } = yield* open({ get: secret, receive: secret })
      const failed = yield* Effect.flip(unary(client, "Get", { id: "c1" }))
      assert.strictEqual(failed.code, grpc.status.INTERNAL)
      assert.notInclude(JSON.stringify([failed.message, failed.metadata.getMap()]), "hunter2")
      const status = yield* next<grpc.StatusObject>(stream(client, "Receive", { id: "c1" }), "status")
      assert.strictEqual(status.code, grpc.status.INTERNAL)
      assert.notInclude(status.details, "hunter2")
      assert.deepStrictEqual(
        logs.map((line) => line.split("\n")[0]),
        ["Get", "Receive"].map((method) => `${method} failed unexpectedly Error: password=hunter2`)
      )
    })
  )

  it.scopedLive("an answer that cannot be encoded is INTERNAL", () =>
    Effect.gen(function* () {
      const broken = { ...connection, epoch: 1.5 }
      const { client, logs } = yield* open({ get: () => Effect.succeed(broken) })
      const failed = yield* Effect.flip(unary(client, "Get", { id: "c1" }))
      expect(failed.code).toBe(grpc.status.INTERNAL)
      expect(logs).toEqual([expect.stringMatching(/^the answer of Get cannot be encoded RangeError/)])
    })
  )

  it.scopedLive(
    "malformed bytes, text that is not UTF-8 and unknown enum numbers are InvalidRequest, and nothing is called",
    () =>
      Effect.gen(function* () {
        const { client } = yield* open({ get: () => Effect.succeed(connection) })
        const cases: ReadonlyArray<readonly [method: string, bytes: ReadonlyArray<number>, metadata: object]> = [
          ["Get", [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], { field: "", reason: "the message is not valid protobuf" }],
          ["Get", [0x0a, 0x05, 0x41], { field: "", reason: "the message is not valid protobuf" }],
          ["Get", [0x07], { field: "", reason: "the message is not valid protobuf" }],
          ["Get", [0x0a, 0x03, 0x68, 0xc3, 0x28], { field: "", reason: "a text is not UTF-8" }],
          ["Connect", [0x70, 0x09], { field: "onLeaseLoss", reason: "9 is not a value of LeaseLoss" }],
          ["Drain", [0x08, 0x63], { field: "mode", reason: "99 is not a value of DrainMode" }]
        ]
        for (const [method, bytes, metadata] of cases) {
          const failed = yield* Effect.flip(unaryBytes(client, method, new Uint8Array(bytes)))
          expect([method, failed.code]).toEqual([method, grpc.status.INVALID_ARGUMENT])
          expect(detailsOf(failed).info).toEqual({ reason: "INVALID_REQUEST", domain: "websocketmanager", metadata })
        }
        expect(yield* unary(client, "Get", { id: "c1" })).toHaveProperty("connection.id", "c1")
      })
  )
})
