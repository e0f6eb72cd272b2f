/** Redis in as few words as the bench needs: one connection, commands in order; bulk strings come back as buffers. */
import { connect } from "node:net"

const INCOMPLETE = Symbol()

/** @typedef {Buffer | string | number | null | Error | ReadonlyArray<any>} Reply */

/** @param {number} port @returns {Promise<{ command: (...words: Array<string>) => Promise<any>, close: () => void }>} */
export const openRedis = async (port) => {
  const socket = connect(port, "127.0.0.1")
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject))
  socket.setNoDelay(true)
  /** @type {Array<{ resolve: (reply: Reply) => void, reject: (error: Error) => void }>} */
  const waiting = []
  /** @type {Array<Buffer>} */
  let chunks = []
  let looking = false
  // A long answer comes in many chunks: what one turn brings is looked at once.
  socket.on("data", (chunk) => {
    chunks.push(chunk)
    if (looking) return
    looking = true
    setImmediate(look)
  })
  const look = () => {
    looking = false
    const buffer = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
    const reader = { buffer, at: 0 }
    let done = 0
    while (waiting.length > 0) {
      const reply = read(reader)
      if (reply === INCOMPLETE) break
      done = reader.at
      const { reject, resolve } = waiting.shift()
      if (reply instanceof Error) reject(reply)
      else resolve(reply)
    }
    chunks = done === buffer.length ? [] : [buffer.subarray(done)]
  }
  const fail = () => {
    for (const { reject } of waiting.splice(0)) reject(new Error("redis closed the connection"))
  }
  socket.on("close", fail).on("error", fail)
  return {
    command: (...words) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject })
        const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
        socket.write(`*${words.length}\r\n${parts.join("")}`)
      }),
    close: () => socket.destroy()
  }
}

/** @param {{ buffer: Buffer, at: number }} reader @returns {Reply | typeof INCOMPLETE} */
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
