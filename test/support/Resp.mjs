/**
 * A Redis client of one connection, as little of its protocol as tests and bench need: commands in order, bulk strings as
 * bytes.
 *
 * In plain JavaScript, so that the bench runs it as it is.
 */
import { connect } from "node:net"

/** What an answer is missing more bytes. */
const INCOMPLETE = Symbol()

/** @typedef {import("./Resp.mjs").Reply} Reply */

export class Resp {
  /** @type {Array<Buffer>} */
  #chunks = []
  #looking = false
  /** @type {Array<{ resolve: (reply: Reply) => void, reject: (error: Error) => void }>} */
  #waiting = []
  #socket

  /** @param {import("node:net").Socket} socket connected */
  constructor(socket) {
    this.#socket = socket.setNoDelay(true)
    socket.on("data", (chunk) => this.#take(chunk))
    socket.on("close", () => this.#fail(new Error("redis closed the connection")))
    socket.on("error", (error) => this.#fail(error))
  }

  /** What the server of a port asks for. */
  static passwords = new Map()

  /** @param {number} port @returns {Promise<Resp>} */
  static async connect(port) {
    const client = await new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Resp(socket)))
      socket.once("error", reject)
    })
    const password = Resp.passwords.get(port)
    if (password !== undefined) await client.command("AUTH", password)
    return client
  }

  /** @param {number} port @param {ReadonlyArray<string | Uint8Array>} words */
  static async once(port, ...words) {
    const client = await Resp.connect(port)
    return client.command(...words).finally(() => client.close())
  }

  /** @param {ReadonlyArray<string | Uint8Array>} words @returns {Promise<Reply>} */
  command(...words) {
    const parts = words.flatMap((word) => {
      const bytes = Buffer.from(word)
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")]
    })
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#socket.write(Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts]))
    })
  }

  close() {
    this.#socket.destroy()
  }

  #fail(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  /** A long answer comes in many chunks: what one turn brings is looked at once. */
  #take(chunk) {
    this.#chunks.push(chunk)
    if (this.#looking) return
    this.#looking = true
    setImmediate(() => {
      this.#looking = false
      this.#settle()
    })
  }

  #settle() {
    const buffer = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
    const reader = { buffer, at: 0 }
    let done = 0
    while (this.#waiting.length > 0) {
      const reply = read(reader)
      if (reply === INCOMPLETE) break
      done = reader.at
      const { reject, resolve } = this.#waiting.shift()
      if (reply instanceof Error) reject(reply)
      else resolve(reply)
    }
    this.#chunks = done === buffer.length ? [] : [buffer.subarray(done)]
  }
}

/** @param {{ readonly buffer: Buffer, at: number }} reader @returns {Reply | typeof INCOMPLETE} */
const read = (reader) => {
  const { buffer } = reader
  const end = buffer.indexOf("\r\n", reader.at)
  if (end < 0) return INCOMPLETE
  const kind = String.fromCharCode(buffer[reader.at])
  const line = buffer.toString("latin1", reader.at + 1, end)
  reader.at = end + 2
  if (kind === "+") return line
  if (kind === "-") return new Error(line)
  if (kind === ":") return Number(line)
  const size = Number(line)
  if (size < 0) return null
  if (kind === "$") {
    const start = reader.at
    if (buffer.length < start + size + 2) return INCOMPLETE
    reader.at = start + size + 2
    return buffer.subarray(start, start + size)
  }
  const items = []
  for (let i = 0; i < size; i++) {
    const item = read(reader)
    if (item === INCOMPLETE) return INCOMPLETE
    items.push(item)
  }
  return items
}
