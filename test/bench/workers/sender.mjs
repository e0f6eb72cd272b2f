/** A caller that waits for its replies: over `ws` straight to the echo, or through a manager over one of its doors. */
import { pathToFileURL } from "node:url"
import grpc from "@grpc/grpc-js"
import { loadSync } from "@grpc/proto-loader"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { WebSocket } from "ws"
import { answer } from "../lib/child.mjs"

const dist = pathToFileURL(`${process.argv[2]}/`)
const { Client } = await import(new URL("index.js", dist).href)
const PROTO = new URL("../../../proto/websocketmanager/v1/websocketmanager.proto", import.meta.url).pathname
const PAD = "x".repeat(170)

let asked = 0
const message = () => Buffer.from(`{"id":"${String(asked++).padStart(10, "0")}","pad":"${PAD}"}`)

/** @type {Record<string, () => Promise<unknown>>} one round trip, by way */
const ways = {}

const openBare = async (echoUrl) => {
  const ws = new WebSocket(echoUrl, { perMessageDeflate: false })
  await new Promise((resolve, reject) => ws.on("open", resolve).on("error", reject))
  /** @type {Array<() => void>} */
  const waiting = []
  ws.on("message", () => waiting.shift()?.())
  ways.bare = () =>
    new Promise((resolve) => {
      waiting.push(resolve)
      ws.send(message(), { binary: false })
    })
}

const openRpc = async (httpUrl, echoUrl) => {
  const runtime = ManagedRuntime.make(Client.layer({ url: httpUrl }))
  const client = await runtime.runPromise(Client.ManagerClient)
  const { id } = await runtime.runPromise(client.Connect({ url: echoUrl, awaitOpen: true }))
  ways.rpc = () => runtime.runPromise(client.Send({ id, message: message() }))
  return id
}

const openGrpc = (address, id) => {
  const wire = grpc.loadPackageDefinition(loadSync(PROTO, { longs: Number, enums: String, defaults: true }))
  const client = new wire.websocketmanager.v1.WebSocketManagerService(address, grpc.credentials.createInsecure())
  ways.grpc = () =>
    new Promise((resolve, reject) => {
      client.Send({ id, message: message() }, (error, reply) => (error === null ? resolve(reply) : reject(error)))
    })
}

answer({
  open: async ({ echoUrl, httpUrl, grpcAddress }) => {
    await openBare(echoUrl)
    openGrpc(grpcAddress, await openRpc(httpUrl, echoUrl))
  },

  /** Round trips for a while, so many at once: the time of each in microseconds. */
  run: async ({ way, atOnce, ms }) => {
    const call = ways[way]
    const end = performance.now() + ms
    /** @type {Array<number>} */
    const micros = []
    const lane = async () => {
      while (performance.now() < end) {
        const start = performance.now()
        await call()
        micros.push((performance.now() - start) * 1000)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, lane))
    return micros
  }
})
