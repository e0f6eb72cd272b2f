/** The counterpart of the Dapr figures: `ws` and undici in a loop, making the publishes that the manager makes. */
import { Pool } from "undici"
import { WebSocket } from "ws"
import { answer } from "../lib/child.mjs"
import { PUBSUB } from "../lib/dapr.mjs"
import { cpu, several } from "../lib/measure.mjs"

const CLOUD_EVENTS = "application/cloudevents+json"
/** Frames a connection may hold, and how many go into one event, as the manager has it by default. */
const HELD = 4096
const PACK = 256
const PACK_BYTES = 256 * 1024
const IN_FLIGHT = 4

const { httpPort } = JSON.parse(process.argv[3])
const pool = new Pool(`http://127.0.0.1:${httpPort}`, { connections: 64 })

/** One connection and what it has brought. */
class Connection {
  constructor(url, id) {
    this.id = id
    this.head =
      `{"specversion":"1.0","source":"urn:websocketmanager:bare","subject":"${id}","connectionid":"${id}"` +
      `,"connectionurl":"${url}","instanceid":"bare","epoch":"1700000000"`
    this.frames = []
    this.at = 0
    this.sequence = 0
    this.wake = () => {}
    this.ws = new WebSocket(url, { perMessageDeflate: false })
    this.opened = new Promise((resolve, reject) => this.ws.on("open", resolve).on("error", reject))
    this.ws.on("message", (data) => {
      this.frames.push({ data, t: Date.now() })
      if (this.waiting === HELD) this.ws.pause()
      this.wake()
    })
  }

  get waiting() {
    return this.frames.length - this.at
  }

  /** Undefined: nothing waits. */
  take() {
    if (this.waiting === 0) return undefined
    const frame = this.frames[this.at++]
    if (this.at === this.frames.length || this.at === HELD) {
      this.frames = this.frames.slice(this.at)
      this.at = 0
    }
    if (this.ws.isPaused && this.waiting <= HELD / 2) this.ws.resume()
    return frame
  }

  single() {
    const { data, t } = this.take()
    const s = ++this.sequence
    return (
      `${this.head},"type":"websocketmanager.frame","id":"${this.id}:1700000000:${s}","sequence":"${s}"` +
      `,"time":"${new Date(t).toISOString()}","datacontenttype":"text/plain","data":${JSON.stringify(data.toString())}}`
    )
  }

  packed() {
    const from = this.sequence + 1
    const items = []
    let bytes = 0
    while (this.waiting > 0 && items.length < PACK && bytes < PACK_BYTES) {
      const { data, t } = this.take()
      bytes += data.length
      items.push({ s: ++this.sequence, t, text: data.toString() })
    }
    return (
      `${this.head},"type":"websocketmanager.frames","id":"${this.id}:1700000000:${from}-${this.sequence}"` +
      `,"sequence":"${from}","sequencelast":"${this.sequence}","time":"${new Date(items[0].t).toISOString()}"` +
      `,"datacontenttype":"application/json","data":${JSON.stringify(items)}}`
    )
  }
}

const post = async (path, type, body) => {
  const answer = await pool.request({ method: "POST", path, headers: { "content-type": type }, body })
  await answer.body.dump()
  if (answer.statusCode !== 204) throw new Error(`the sidecar answers ${answer.statusCode}`)
}

/** Event by event, each after the answer to the one before. */
const inOrder = async (connection, topic, way) => {
  // Packs go as they are, as the manager's do.
  const path = `/v1.0/publish/${PUBSUB}/${topic}${way === "packed" ? "?metadata.rawPayload=true" : ""}`
  for (;;) {
    while (connection.waiting > 0) await post(path, CLOUD_EVENTS, connection[way]())
    await new Promise((resolve) => (connection.wake = resolve))
  }
}

/** Requests of one event a connection, one after the other; several such loops, each with connections of its own. */
const inBulk = async (connections, topic) => {
  for (;;) {
    const entries = []
    for (const connection of connections) {
      if (connection.waiting === 0) continue
      const head = `{"entryId":"${entries.length}","contentType":"${CLOUD_EVENTS}","event":`
      entries.push(`${head}${connection.single()}}`)
    }
    if (entries.length > 0) {
      await post(`/v1.0/publish/bulk/${PUBSUB}/${topic}`, "application/json", `[${entries.join(",")}]`)
    } else {
      await new Promise((resolve) => {
        for (const connection of connections) connection.wake = resolve
      })
    }
  }
}

const failed = (error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
}
answer({
  connect: async ({ count, topic, url, way }) => {
    const connections = Array.from({ length: count })
    await several(count, async (i) => {
      connections[i] = new Connection(url, `${topic}-${String(i).padStart(4, "0")}-0000-4000-8000-000000000000`)
      await connections[i].opened
    })
    if (way === "bulk") {
      for (let i = 0; i < IN_FLIGHT; i++) {
        inBulk(
          connections.filter((_, at) => at % IN_FLIGHT === i),
          topic
        ).catch(failed)
      }
    } else for (const one of connections) inOrder(one, topic, way).catch(failed)
  },
  mark: () => ({ cpu: cpu(), at: performance.now() })
})
