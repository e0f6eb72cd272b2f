/** Strangers at every door of an instance that has a token: what they cost it is bounded before the token is seen. */
import { readdirSync, readFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import { join } from "node:path"
import * as grpc from "@grpc/grpc-js"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { STRANGER } from "../../src/domain/Limits.js"
import { built } from "../cli/runWsm.js"
import { END_STREAM, FRAME, grpcHeaders, RawHttp2 } from "../support/RawHttp2.js"
import { afterwards, cleanUp, launch, logOf, temporaryFolder, until } from "./instanceProcess.js"

const MIB = 1024 * 1024
const TOKEN = "a-token-of-the-doors"
const WRONG = "a-guess-at-the-token"
const HEALTH = "/grpc.health.v1.Health"
const UNARY = "/websocketmanager.v1.WebSocketManagerService/List"
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

let pid: number
let http: number
let rpc: number
let process_: Awaited<ReturnType<typeof launch>>

const begin = async (): Promise<void> => {
  process_ = await launch({ WSM_DATA_DIR: temporaryFolder(), WSM_INSTANCE_ID: "one", WSM_API_TOKEN: TOKEN })
  const [, url, grpcAddress] = await process_.line(/^websocketmanager is up: http (\S+) {2}grpc (\S+)/m)
  pid = process_.child.pid!
  http = Number(new URL(url!).port)
  rpc = Number(grpcAddress!.split(":").at(-1))
}

beforeAll(built, 120_000)
beforeEach(begin)
afterEach(cleanUp)

const rss = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024
const files = (): number => readdirSync(`/proc/${pid}/fd`).length

/** The most that the process grew by, in mebibytes, until the attack was over and the instance answered. */
const grownBy = async (attack: () => Promise<unknown>): Promise<number> => {
  const before = rss()
  let most = before
  const look = setInterval(() => (most = Math.max(most, rss())), 20)
  try {
    await attack()
    expect((await fetch(`http://127.0.0.1:${http}/alive`)).status).toBe(200)
  } finally {
    clearInterval(look)
  }
  return Math.round((Math.max(most, rss()) - before) / MIB)
}

const raw = async (options?: { readonly acknowledges?: boolean }): Promise<RawHttp2> => {
  const client = await RawHttp2.open(rpc, options)
  afterwards(() => client.close())
  return client
}
/** All that was written is with the other side, or it has cut. */
const flushed = (client: RawHttp2) => until(() => client.ended || client.socket.writableLength === 0, "all is sent")

const nameOf = (bytes: number): Buffer => {
  const length = [0, 1, 2, 3].map((i) => ((bytes >>> (7 * i)) & 0x7f) | (i < 3 ? 0x80 : 0))
  const message = Buffer.concat([Buffer.from([0x0a, ...length]), Buffer.alloc(bytes, 0x61)])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}
const asIs = (bytes: Buffer) => bytes
const stockClient = (): grpc.Client => {
  const client = new grpc.Client(`127.0.0.1:${rpc}`, grpc.credentials.createInsecure())
  afterwards(() => client.close())
  return client
}
const check = (client: grpc.Client, message: Buffer): Promise<grpc.ServiceError | Buffer> =>
  new Promise((resolve) =>
    client.makeUnaryRequest(
      `${HEALTH}/Check`,
      asIs,
      asIs,
      message,
      { deadline: Date.now() + 10_000 },
      (error, answer) => resolve(error ?? answer!)
    )
  )

describe("a stranger at the gRPC door", { timeout: 60_000 }, () => {
  it("is told what the door takes, and cannot leave it untold for long", async () => {
    const client = await raw()
    await until(() => client.settings().size > 0, "settings")
    expect([client.settings().get(3), client.settings().get(6)]).toEqual([STRANGER.GRPC_STREAMS, STRANGER.GRPC_HEADER_BYTES]) // prettier-ignore
    const rude = await raw({ acknowledges: false })
    await until(() => rude.ended, "who acknowledges nothing is cut", STRANGER.SILENT_MS + 10_000)
    expect(client.ended).toBe(false)
  })

  it("watches names of 16 MiB forty times, and nothing of them stays", async () => {
    const client = stockClient()
    const grown = await grownBy(async () => {
      for (let i = 0; i < 40; i++) {
        const call = client.makeServerStreamRequest(`${HEALTH}/Watch`, asIs, asIs, nameOf(16 * MIB).subarray(5))
        call.on("error", () => {})
        call.resume()
        const status = await new Promise<grpc.StatusObject>((resolve) => call.on("status", resolve))
        expect(status.code).toBe(grpc.status.RESOURCE_EXHAUSTED)
      }
    })
    expect(grown).toBeLessThan(60)
  })

  it.each([`${HEALTH}/Check`, `${HEALTH}/Watch`, `${HEALTH}/List`, UNARY, REFLECTION, "/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck", "/no/such"])("begins 60 messages of 16 MiB on one socket: %s", async (path) => {
    const client = await raw()
    const grown = await grownBy(async () => {
      for (let i = 0; i < 60; i++) client.headers(2 * i + 1, grpcHeaders(path))
      const claim = Buffer.from([0, 1, 0, 0, 0])
      for (let i = 0; i < 60; i++) client.send(FRAME.DATA, 0, 2 * i + 1, claim)
      const piece = Buffer.alloc(16_000, 0x61)
      for (let round = 0; round < 64 && !client.ended; round++) {
        for (let i = 0; i < 60 && !client.ended; i++) client.send(FRAME.DATA, 0, 2 * i + 1, piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await until(() => client.ended || client.answered() === 60 || client.resets().size === 60, "all is refused")
    })
    expect(grown).toBeLessThan(40)
  }) // prettier-ignore

  it("opens 8,000 streams with 45 KB of metadata and no message", async () => {
    const client = await raw()
    const grown = await grownBy(async () => {
      const block = grpcHeaders(`${HEALTH}/Check`, ["x-a", "a".repeat(15_000)], ["x-b", "b".repeat(15_000)], ["x-c", "c".repeat(15_000)]) // prettier-ignore
      for (let i = 0; i < 8000 && !client.ended; i++) {
        client.headers(2 * i + 1, block)
        if (i % 50 === 0) await flushed(client)
      }
      await flushed(client)
    })
    expect(grown).toBeLessThan(60)
  })

  it("opens as many streams as it may, with as large headers, on twenty sockets, and without taking our settings", async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => raw({ acknowledges: i % 2 === 0 })))
    const block = grpcHeaders(`${HEALTH}/Check`, ["x-a", "a".repeat(15_000)])
    const grown = await grownBy(async () => {
      for (let i = 0; i < STRANGER.GRPC_STREAMS + 10; i++) {
        for (const client of clients) if (!client.ended) client.headers(2 * i + 1, block)
        if (i % 10 === 0) await Promise.all(clients.map(flushed))
      }
      await Promise.all(clients.map(flushed))
      // what was begun and never went on ends by itself
      await until(
        () => clients.every((client) => client.ended || client.resets().size >= STRANGER.GRPC_STREAMS),
        "no stream stays",
        2 * STRANGER.SILENT_MS + 10_000
      )
    })
    expect(grown).toBeLessThan(180)
  })

  it("gets no echo of a name, whatever its length, and an answer within its time", async () => {
    const client = stockClient()
    for (const [bytes, code] of [[20, grpc.status.NOT_FOUND], [1000, grpc.status.NOT_FOUND], [100_000, grpc.status.RESOURCE_EXHAUSTED], [4 * MIB, grpc.status.RESOURCE_EXHAUSTED]] as const) {
      const answer = (await check(client, nameOf(bytes).subarray(5))) as grpc.ServiceError
      expect([bytes, answer.code]).toEqual([bytes, code])
      expect(JSON.stringify(answer.metadata.toJSON()) + answer.details).not.toContain("aaaa")
    }
    expect(await check(client, Buffer.alloc(0))).toEqual(Buffer.from([0x08, 1]))
  }) // prettier-ignore

  it("holds a hundred watches and no more, and Check goes on", async () => {
    const client = stockClient()
    const calls = Array.from({ length: STRANGER.GRPC_HEALTH_WATCHES + 5 }, () => {
      const call = client.makeServerStreamRequest(`${HEALTH}/Watch`, asIs, asIs, Buffer.alloc(0))
      const seen = { call, items: 0, code: -1 }
      call.on("data", () => (seen.items += 1))
      call.on("error", (error: grpc.ServiceError) => (seen.code = error.code))
      return seen
    })
    await until(() => calls.every(({ code, items }) => items > 0 || code >= 0), "each is answered")
    expect(calls.filter(({ code }) => code === grpc.status.RESOURCE_EXHAUSTED)).toHaveLength(5)
    expect(await check(client, Buffer.alloc(0))).toEqual(Buffer.from([0x08, 1]))
    calls[0]!.call.cancel()
    await until(async () => {
      const call = client.makeServerStreamRequest(`${HEALTH}/Watch`, asIs, asIs, Buffer.alloc(0))
      call.on("error", () => {})
      return new Promise((resolve) => call.on("data", () => resolve(true)).on("status", () => resolve(false)))
    }, "a place that was given back is had again")
  })

  it("leaves its side of refused calls open, and they end", async () => {
    const client = await raw()
    for (let i = 0; i < 100; i++) client.headers(2 * i + 1, grpcHeaders(UNARY, ["authorization", `Bearer ${WRONG}`]))
    await until(() => client.answered() === 100 && client.resets().size === 100, "each is answered and ended")
    expect([...new Set(client.resets().values())]).toEqual([0])
    const whole = await raw()
    whole.headers(1, grpcHeaders(UNARY, ["authorization", `Bearer ${TOKEN}`]))
    whole.send(FRAME.DATA, END_STREAM, 1, Buffer.alloc(5))
    await until(() => whole.frames.some(({ stream, type }) => stream === 1 && type === FRAME.DATA), "a caller's answer")
  })

  it("is counted, and told of once a second, by its address and never by what it sent", async () => {
    const client = await raw()
    for (let i = 0; i < 100; i++) client.headers(2 * i + 1, grpcHeaders(UNARY, ["authorization", `Bearer ${WRONG}`]), END_STREAM) // prettier-ignore
    await until(() => client.answered() === 100, "each is answered")
    for (let i = 0; i < 50; i++) {
      const answer = await fetch(`http://127.0.0.1:${http}/metrics`, { headers: { authorization: `Bearer ${WRONG}` } })
      expect(answer.status).toBe(401)
    }
    const metrics = await fetch(`http://127.0.0.1:${http}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })
    const text = await metrics.text()
    expect(text).toContain('websocketmanager_refused_total{door="grpc",reason="token"} 100')
    expect(text).toContain('websocketmanager_refused_total{door="http",reason="token"} 50')
    const told = logOf(process_).filter(({ message }) => message.startsWith("refused at"))
    expect(told.length).toBeGreaterThan(0)
    expect(told.length).toBeLessThan(20)
    expect(told[0]!.message).toMatch(/^refused at the grpc door: token, from 127\.0\.0\.1/)
    expect(process_.output.err).not.toContain(WRONG)
  })
})

const socketTo = async (port: number, text: string): Promise<Net.Socket> => {
  const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  socket.on("error", () => {})
  afterwards(() => socket.destroy())
  await once(socket, "connect")
  if (text !== "") socket.write(text)
  return socket
}

const upgrade = (path: string) =>
  `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

describe("a stranger at the HTTP door", { timeout: 60_000 }, () => {
  it.each([
    ["a refused upgrade to /rpc/ws", upgrade("/rpc/ws"), 5000],
    ["a refused upgrade to /rpc/peers", upgrade("/rpc/peers"), 5000],
    ["an upgrade to nowhere, with a body behind it", `${upgrade("/x")}${"a".repeat(100_000)}`, 5000],
    ["nothing at all", "", STRANGER.SILENT_MS + 10_000],
    ["half a request", "POST /rpc HTTP/1.1\r\nhost: x\r\n", STRANGER.SILENT_MS + 10_000],
    ["a body that is never sent", "POST /rpc HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n", 8000]
  ])("holds no descriptor by %s, though it keeps its end", async (_what, text, withinMs) => {
    const before = files()
    await Promise.all(Array.from({ length: 100 }, () => socketTo(http, text)))
    await until(() => files() <= before + 2, "all are given back", withinMs)
    expect((await fetch(`http://127.0.0.1:${http}/alive`)).status).toBe(200)
  })

  it.each([
    ["20 MiB to POST /rpc", (size: number) => `POST /rpc HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`],
    ["20 MiB in chunks", (size: number) => `POST /rpc HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${size.toString(16)}\r\n`],
    ["20 MiB after an upgrade", () => upgrade("/rpc/ws")],
    ["20 MiB of headers", () => "GET /rpc/ws HTTP/1.1\r\nx-a: "]
  ] as const)("sends %s, sixty times, and nothing of it is kept", async (_what, head) => {
    const grown = await grownBy(() =>
      Promise.all(
        Array.from({ length: 60 }, async () => {
          const socket = await socketTo(http, head(20 * MIB))
          const piece = Buffer.alloc(64 * 1024, 0x61)
          for (let i = 0; i < 320 && !socket.destroyed && socket.writable; i++) {
            if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve))
          }
          socket.destroy()
        })
      )
    )
    expect(grown).toBeLessThan(80)
  }) // prettier-ignore
})

/** Another instance, which may open so many files. */
const beginWith = async (most: number): Promise<void> => {
  const main = join(await built(), "main.js")
  const env = { PATH: process.env["PATH"], WSM_DATA_DIR: "", WSM_API_TOKEN: TOKEN, WSM_HTTP_PORT: "0", WSM_GRPC_PORT: "0" } // prettier-ignore
  const limited = `ulimit -n ${most} && exec "$0" "$@"`
  const child = spawn("sh", ["-c", limited, process.execPath, main, "serve"], { env, stdio: ["ignore", "pipe", "ignore"] }) // prettier-ignore
  afterwards(() => child.kill("SIGKILL"))
  let out = ""
  child.stdout.on("data", (text) => (out += String(text)))
  await until(() => out.includes(" is up: "), "it is up")
  const [, httpPort, grpcPort] = /is up: http \S+:(\d+) {2}grpc \S+:(\d+)/.exec(out)!
  pid = child.pid!
  http = Number(httpPort)
  rpc = Number(grpcPort)
}

describe("the doors together", { timeout: 60_000 }, () => {
  it.each(["http", "grpc"])("the %s door has a quarter of the descriptors at most, and one address half of that; a caller's open link goes on", async (door) => {
    await beginWith(256)
    const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))![1])
    expect(limit).toBe(256)
    const share = Math.floor(Math.min(STRANGER.CONNECTIONS, Math.floor(limit / 4)) / STRANGER.CONNECTIONS_SHARE)
    const link = new WebSocket(`ws://127.0.0.1:${http}/rpc/ws`, { headers: { authorization: `Bearer ${TOKEN}` } })
    afterwards(() => link.terminate())
    await once(link, "open")
    const before = files()
    const sockets = await Promise.all(Array.from({ length: share + 50 }, () => socketTo(door === "http" ? http : rpc, "")))
    const cut = () => sockets.filter((socket) => socket.readableEnded || socket.destroyed).length
    for (const socket of sockets) socket.resume()
    await until(() => cut() >= 50, "what is over is closed")
    expect(files() - before).toBeLessThanOrEqual(share + 2)
    const pong = once(link, "pong")
    link.ping()
    await pong
  }) // prettier-ignore
})
