/** What reaches an instance over its doors, from a feed, and from the store; each must leave it alive and its other work done. */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import * as Net from "node:net"
import { PEER_SUBPROTOCOL } from "../../src/rpc/PeerProof.js"
import { encodeFrame, ScriptedServer } from "../support/ScriptedServer.js"
import { rpcRequest, storedRow } from "./ByteTargets.js"
import { exchange, type Instance } from "./Instance.js"
import type { Random } from "./Random.js"
import { must, type Target } from "./Target.js"
import { jsonValue } from "./TextTargets.js"

/** How long one input may keep its socket. */
const PATIENCE_MS = 25

const alive = async (instance: Instance): Promise<void> => {
  const answer = await exchange(instance.httpPort, [Buffer.from("GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")], 5000) // prettier-ignore
  must(
    answer.toString("latin1").startsWith("HTTP/1.1 200"),
    `/health/live answers ${JSON.stringify(answer.toString("latin1").slice(0, 80))}`
  )
}

const quiet = (instance: Instance): void => {
  const errors = instance.errors()
  must(errors.length === 0, `said at ERROR: ${errors[0]?.slice(0, 2000)}`)
}

const request = (method: string, path: string, body: Buffer, more = ""): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/msgpack\r\ncontent-length: ${body.length}\r\n${more}\r\n`
    ),
    body
  ])

const PATHS = [
  "/rpc",
  "/rpc",
  "/rpc",
  "/alive",
  "/health",
  "/health/ready",
  "/metrics",
  "/rpc/ws",
  "/v1/connections",
  "/",
  "/%2e%2e/x"
]

const http = (instance: Instance): Target => ({
  name: "http",
  seed: (random) => request(random.pick(["POST", "GET"]), random.pick(PATHS), rpcRequest(random)),
  run: async (input) => {
    await exchange(instance.httpPort, [input], PATIENCE_MS)
    quiet(instance)
  }
})

const UPGRADE = (path: string) =>
  Buffer.from(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n${path === "/rpc/peers" ? `sec-websocket-protocol: ${PEER_SUBPROTOCOL}\r\n` : ""}\r\n`) // prettier-ignore

/** A client's frame: masked by nought, so that a changed byte is a changed byte. */
const masked = (opcode: number, data: Buffer): Buffer => {
  const length =
    data.length < 126 ? Buffer.from([0x80 | data.length]) : Buffer.from([0xfe, data.length >> 8, data.length & 0xff])
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, Buffer.alloc(4), data])
}

/** The first byte says which of the two doors. */
const rpcSocket = (instance: Instance): Target => ({
  name: "rpc-ws",
  seed: (random) =>
    Buffer.concat([Buffer.from([random.below(4)]), ...Array.from({ length: 1 + random.below(3) }, () => masked(random.pick([1, 2, 2, 2, 9]), rpcRequest(random).subarray(0, 60_000)))]), // prettier-ignore
  run: async (input) => {
    const path = (input[0] ?? 0) === 0 ? "/rpc/peers" : "/rpc/ws"
    await exchange(instance.httpPort, [UPGRADE(path), input.subarray(1)], PATIENCE_MS)
    quiet(instance)
  }
})

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
const http2Frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
const SERVICE = "/websocketmanager.v1.WebSocketManagerService/"
const CALLS = [`${SERVICE}Connect`, `${SERVICE}List`, `${SERVICE}Send`, `${SERVICE}Watch`, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] // prettier-ignore

const grpcCall = (random: Random): Buffer => {
  const headers = Buffer.concat([
    literal(":method", "POST"),
    literal(":scheme", "http"),
    literal(":path", random.pick(CALLS)),
    literal(":authority", "127.0.0.1"),
    literal("content-type", "application/grpc"),
    literal("te", "trailers")
  ])
  const text = Buffer.from(random.pick(["ws://127.0.0.1:1/", "x", "", "kind"]))
  const field = (n: number) => Buffer.concat([Buffer.from([(n << 3) | 2, text.length]), text])
  const message = Buffer.concat(Array.from({ length: random.below(5) }, () => field(1 + random.below(15))))
  const length = Buffer.alloc(5)
  length.writeUInt32BE(message.length, 1)
  return Buffer.concat([
    PREFACE,
    http2Frame(4, 0, 0, Buffer.alloc(0)),
    http2Frame(1, 4, 1, headers),
    http2Frame(0, 1, 1, Buffer.concat([length, message]))
  ])
}

const grpc = (instance: Instance): Target => ({
  name: "grpc",
  seed: grpcCall,
  run: async (input) => {
    await exchange(instance.grpcPort, [input], PATIENCE_MS)
    quiet(instance)
  }
})

/** A feed that takes the opening as it should, and then sends whatever; one login step and one Send look into its frames. */
const feed = async (instance: Instance): Promise<Target> => {
  let next = Buffer.alloc(0)
  const server = Net.createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", (opening) => {
      const key = /sec-websocket-key: (\S+)/i.exec(opening.toString("latin1"))?.[1] ?? ""
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`
      )
      socket.write(next)
      socket.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as Net.AddressInfo
  const login = [
    { expect: { jsonPath: "$.id", capture: { x: "$.payload" }, timeoutMs: 1000 } },
    { sendText: Buffer.from("${capture:x}") }
  ]
  return {
    name: "feed",
    seed: (random) =>
      Buffer.concat(
        Array.from({ length: 1 + random.below(4) }, () => {
          const data = random.chance(0.5) ? Buffer.from(JSON.stringify({ id: 1, payload: jsonValue(random) })) : random.bytes(random.below(300)) // prettier-ignore
          return encodeFrame(random.pick([1, 1, 2, 8, 9, 10, 0]), data)
        })
      ),
    run: async (input) => {
      next = Buffer.from(input)
      const made = await instance.run(
        Effect.either(instance.manager.connect({ url: `ws://127.0.0.1:${port}/`, topic: "t", awaitOpen: false, reconnect: { baseDelayMs: 1000 }, handshake: input.length % 2 === 0 ? login : [] })) // prettier-ignore
      )
      if (made._tag === "Left") throw made.left
      const { id } = made.right
      const send = instance.manager.send({ id, message: Buffer.from('{"a":1}'), timeoutMs: PATIENCE_MS })
      await instance.run(Effect.either(Effect.delay(send, 2)))
      await instance.run(Effect.either(instance.manager.disconnect({ id })))
      quiet(instance)
    },
    close: async () => void server.close()
  }
}

/** Rows that somebody else wrote into the store: of instances and connections that are not, or never were. */
const rows = async (instance: Instance): Promise<Target> => {
  const own = await ScriptedServer.start()
  const made = await instance.run(instance.manager.connect({ url: own.url, topic: "own" }))
  let n = 0
  return {
    name: "rows",
    seed: (random) => Buffer.concat([Buffer.from([random.below(5)]), storedRow(random)]),
    run: async (input) => {
      const ghost = `ghost-${(n = (n + 1) % 16)}`
      const keys = [`instances/${ghost}`, `instances/${ghost}/connections/0`, `connections/01a22f83-596a-7b9b-96ee-ba104de46b${10 + n}`, "instances/one", "instances/one/connections/0"] // prettier-ignore
      const key = `websocketmanager/${keys[(input[0] ?? 0) % keys.length]!}`
      instance.backend.write(key, input.subarray(1).toString("utf8"), Infinity, Date.now())
      if (n !== 0) return
      await new Promise((resolve) => setTimeout(resolve, 50))
      const connection = await instance.run(instance.manager.get(made.id))
      must(connection.status === "CONNECTION_STATUS_CONNECTED", `the instance's own connection is ${connection.status}`)
      instance.errors()
      await alive(instance)
    },
    close: () => own.stop()
  }
}

export const socketTargets = async (instance: Instance): Promise<ReadonlyArray<Target>> => [
  http(instance),
  rpcSocket(instance),
  grpc(instance),
  await feed(instance),
  await rows(instance)
]
