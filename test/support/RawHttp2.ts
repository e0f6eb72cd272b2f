/** An HTTP/2 client without manners: it sends the frames it is told to, acknowledges what it wants, and reads what comes. */
import { once } from "node:events"
import * as Net from "node:net"

export const FRAME = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, CONTINUATION: 9 } as const
const ACK = 1
export const END_STREAM = 1
export const END_HEADERS = 4

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** An integer of HPACK with a prefix of so many bits, which are all that stands in its first byte. */
const integer = (value: number, bits: number): ReadonlyArray<number> => {
  const most = 2 ** bits - 1
  if (value < most) return [value]
  const bytes = [most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

const text = (value: string): Buffer => Buffer.concat([Buffer.from(integer(value.length, 7)), Buffer.from(value)])

/** Headers as literals that nobody remembers. */
export const headerBlock = (headers: ReadonlyArray<readonly [name: string, value: string]>): Buffer =>
  Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))

export const grpcHeaders = (path: string, ...more: ReadonlyArray<readonly [string, string]>) =>
  headerBlock([[":method", "POST"], [":scheme", "http"], [":path", path], [":authority", "x"], ["content-type", "application/grpc"], ["te", "trailers"], ...more]) // prettier-ignore

export class RawHttp2 {
  readonly frames: Array<Frame> = []
  ended = false
  private rest = Buffer.alloc(0)

  private constructor(readonly socket: Net.Socket) {
    socket.on("data", (chunk) => this.read(chunk))
    socket.on("error", () => {})
    socket.on("close", () => (this.ended = true))
  }

  static async open(port: number, options: { readonly acknowledges?: boolean } = {}): Promise<RawHttp2> {
    const socket = Net.connect(port, "127.0.0.1")
    await once(socket, "connect")
    const client = new RawHttp2(socket)
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    client.send(FRAME.SETTINGS, 0, 0)
    if (options.acknowledges !== false) client.send(FRAME.SETTINGS, ACK, 0)
    return client
  }

  send(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): boolean {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head[3] = type
    head[4] = flags
    head.writeUInt32BE(stream, 5)
    return this.socket.write(Buffer.concat([head, payload]))
  }

  /** Headers, in as many frames as they need. */
  headers(stream: number, block: Buffer, flags = 0): void {
    for (let at = 0; at === 0 || at < block.length; at += 16_384) {
      const last = at + 16_384 >= block.length
      const ends = last ? END_HEADERS : 0
      this.send(at === 0 ? FRAME.HEADERS : FRAME.CONTINUATION, (at === 0 ? flags : 0) | ends, stream, block.subarray(at, at + 16_384)) // prettier-ignore
    }
  }

  /** What the server said it takes, by the numbers of RFC 9113, 6.5.2. */
  settings(): ReadonlyMap<number, number> {
    const frame = this.frames.find(({ flags, type }) => type === FRAME.SETTINGS && (flags & ACK) === 0)
    const { payload } = frame ?? { payload: Buffer.alloc(0) }
    return new Map(
      Array.from({ length: payload.length / 6 }, (_, i) => [
        payload.readUInt16BE(6 * i),
        payload.readUInt32BE(6 * i + 2)
      ])
    )
  }

  /** Streams that the server reset, and why. */
  resets(): ReadonlyMap<number, number> {
    return new Map(
      this.frames.filter(({ type }) => type === FRAME.RST_STREAM).map(({ payload, stream }) => [stream, payload.readUInt32BE(0)]) // prettier-ignore
    )
  }

  answered(): number {
    return new Set(this.frames.filter(({ type }) => type === FRAME.HEADERS).map(({ stream }) => stream)).size
  }

  bytesRead(): number {
    return this.frames.reduce((sum, { payload }) => sum + payload.length, 0)
  }

  close(): void {
    this.socket.destroy()
  }

  private read(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk])
    while (this.rest.length >= 9) {
      const end = 9 + this.rest.readUIntBE(0, 3)
      if (this.rest.length < end) return
      const [type, flags] = [this.rest[3]!, this.rest[4]!]
      const frame = { type, flags, stream: this.rest.readUInt32BE(5), payload: Buffer.from(this.rest.subarray(9, end)) }
      this.frames.push(frame)
      this.rest = this.rest.subarray(end)
    }
  }
}
