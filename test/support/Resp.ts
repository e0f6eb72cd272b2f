/** A Redis client of one connection, as little of its protocol as tests need: commands in order, bulk strings as bytes. */
import { connect, type Socket } from "node:net"

export type Reply = Buffer | string | number | null | Error | ReadonlyArray<Reply>

/** What an answer is missing more bytes. */
const INCOMPLETE = Symbol()

export class Resp {
  private buffer = Buffer.alloc(0)
  private readonly waiting: Array<{ resolve: (reply: Reply) => void; reject: (error: Error) => void }> = []
  private constructor(private readonly socket: Socket) {
    socket.on("data", (data) => {
      this.buffer = Buffer.concat([this.buffer, data])
      this.settle()
    })
    socket.on("close", () => this.fail(new Error("redis closed the connection")))
    socket.on("error", (error) => this.fail(error))
  }

  static connect(port: number): Promise<Resp> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Resp(socket)))
      socket.once("error", reject)
    })
  }

  /** Opens, asks once, closes. */
  static async once(port: number, ...words: ReadonlyArray<string | Uint8Array>): Promise<Reply> {
    const client = await Resp.connect(port)
    return client.command(...words).finally(() => client.close())
  }

  /** The reply; rejects with an error reply. */
  command(...words: ReadonlyArray<string | Uint8Array>): Promise<Reply> {
    const parts = words.flatMap((word) => {
      const bytes = Buffer.from(word as string)
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")]
    })
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.socket.write(Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts]))
    })
  }

  close(): void {
    this.socket.destroy()
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error)
  }

  private settle(): void {
    for (;;) {
      const reader = { buffer: this.buffer, at: 0 }
      const reply = read(reader)
      if (reply === INCOMPLETE) return
      this.buffer = this.buffer.subarray(reader.at)
      const next = this.waiting.shift()
      if (reply instanceof Error) next?.reject(reply)
      else next?.resolve(reply)
    }
  }
}

const read = (reader: { readonly buffer: Buffer; at: number }): Reply | typeof INCOMPLETE => {
  const end = reader.buffer.indexOf("\r\n", reader.at)
  if (end < 0) return INCOMPLETE
  const kind = String.fromCharCode(reader.buffer[reader.at]!)
  const line = reader.buffer.toString("utf8", reader.at + 1, end)
  reader.at = end + 2
  if (kind === "+") return line
  if (kind === "-") return new Error(line)
  if (kind === ":") return Number(line)
  const size = Number(line)
  if (size < 0) return null
  if (kind === "$") {
    const start = reader.at
    if (reader.buffer.length < start + size + 2) return INCOMPLETE
    reader.at = start + size + 2
    return reader.buffer.subarray(start, start + size)
  }
  const items: Array<Reply> = []
  for (let index = 0; index < size; index++) {
    const item = read(reader)
    if (item === INCOMPLETE) return INCOMPLETE
    items.push(item)
  }
  return items
}
