/** The server's end of one socket: what it saw, and what a test may have it do. */
import type * as Http from "node:http"
import type { Duplex } from "node:stream"
import type { WebSocket } from "ws"
import type { ScriptedServer } from "./ScriptedServer.js"

export interface ReceivedFrame {
  readonly data: Buffer
  readonly binary: boolean
  /** milliseconds since 1970 */
  readonly at: number
}

/** One frame from a server: not masked, length in its shortest form. */
export const encodeFrame = (opcode: number, payload: Uint8Array, fin = true): Buffer => {
  const n = payload.length
  const header = Buffer.alloc(n < 126 ? 2 : n < 65_536 ? 4 : 10)
  header[0] = (fin ? 0x80 : 0) | opcode
  if (n < 126) header[1] = n
  else if (n < 65_536) {
    header[1] = 126
    header.writeUInt16BE(n, 2)
  } else {
    header[1] = 127
    header.writeBigUInt64BE(BigInt(n), 2)
  }
  return Buffer.concat([header, payload])
}

const FLOOD_BLOCK = 65_536

/** One socket the server accepted, open or gone. */
export class Peer {
  readonly openedAt = Date.now()
  closedAt: number | undefined
  closeCode: number | undefined
  closeReason = ""
  readonly frames: Array<ReceivedFrame> = []
  pings = 0
  pongs = 0

  constructor(
    readonly server: ScriptedServer,
    readonly ws: WebSocket,
    readonly socket: Duplex,
    /** path and query of the opening request */
    readonly url: string,
    readonly headers: Http.IncomingHttpHeaders
  ) {
    ws.on("message", (data: Buffer, binary: boolean) => {
      this.frames.push({ data, binary, at: Date.now() })
      server.onFrame(this, data, binary)
      server.changed()
    })
    ws.on("ping", () => {
      this.pings += 1
      server.changed()
    })
    ws.on("pong", () => {
      this.pongs += 1
      server.changed()
    })
    ws.on("error", () => {})
    ws.on("close", (code, reason) => {
      this.closedAt = Date.now()
      this.closeCode = code
      this.closeReason = reason.toString()
      server.changed()
    })
  }

  get open(): boolean {
    return this.closedAt === undefined
  }
  get subprotocol(): string {
    return this.ws.protocol
  }
  /** The text frames and binary frames it received, as text. */
  get texts(): ReadonlyArray<string> {
    return this.frames.map((f) => f.data.toString())
  }

  send(data: string | Uint8Array): void {
    this.ws.send(data)
  }
  ping(): void {
    this.ws.ping()
  }
  /** Starts the closing handshake; without a code the close frame is empty. */
  close(code?: number, reason?: string): void {
    this.ws.close(code, reason)
  }
  /** A close frame with any code whatever, the reserved ones too. */
  closeRaw(code: number, reason = ""): void {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason))
    payload.writeUInt16BE(code)
    payload.write(reason, 2)
    this.raw(encodeFrame(0x8, payload))
  }
  /** Cuts the socket without a close frame. */
  cut(): void {
    this.ws.terminate()
  }
  /** Half-open, or a slow reader: reads nothing more, so that no pong and no close goes out. The socket is kept. */
  stopReading(): void {
    this.ws.pause()
  }
  resumeReading(): void {
    this.ws.resume()
  }
  /** Bytes straight to the socket. */
  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }
  sendInvalidUtf8(): void {
    this.raw(encodeFrame(0x1, Buffer.from([0x61, 0xff, 0xfe, 0x62])))
  }
  /** One message in as many fragments as there are parts, with a ping between the first two. */
  sendFragmented(parts: ReadonlyArray<string>): void {
    parts.forEach((part, i) => {
      this.raw(encodeFrame(i === 0 ? 0x1 : 0x0, Buffer.from(part), i === parts.length - 1))
      if (i === 0) this.raw(encodeFrame(0x9, Buffer.from("between")))
    })
  }
  /**
   * Text frames of `size` bytes as fast as the socket takes them; done when all were written or the socket went away.
   * Numbered frames begin with their index, padded with zeros to eight digits; others are all alike, written in blocks.
   */
  async flood(options: {
    readonly count: number
    readonly size: number
    readonly numbered?: boolean
  }): Promise<number> {
    const { count, size } = options
    const perBlock = Math.max(1, Math.floor(FLOOD_BLOCK / (size + 4)))
    const filler = Buffer.alloc(size, "x")
    const block = Buffer.concat(Array.from({ length: perBlock }, () => encodeFrame(0x1, filler)))
    const one = block.length / perBlock
    let written = 0
    while (written < count && this.socket.writable) {
      const n = Math.min(perBlock, count - written)
      const chunk = options.numbered ? this.numbered(written, n, filler) : block.subarray(0, n * one)
      written += n
      if (!this.socket.write(chunk)) await this.drained()
    }
    return written
  }

  private numbered(from: number, n: number, filler: Buffer): Buffer {
    return Buffer.concat(
      Array.from({ length: n }, (_, i) => {
        const payload = Buffer.from(filler)
        payload.write(String(from + i).padStart(8, "0"))
        return encodeFrame(0x1, payload)
      })
    )
  }

  private drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off("drain", done)
        this.socket.off("close", done)
        resolve()
      }
      this.socket.on("drain", done)
      this.socket.on("close", done)
    })
  }
}
