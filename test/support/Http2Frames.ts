/** What HTTP/2 clients send, frame by frame, read beside a proxy (RFC 9113, 4.1). */
const PREFACE = 24
const HEADER = 9
const HEADERS = 0x1
const RST_STREAM = 0x3

export class Http2Frames {
  /** of each connection, what is not read yet */
  private readonly rest = new Map<number, Buffer>()
  /** requests begun */
  requests = 0
  /** error codes of the streams that the client gave up; 8 is CANCEL */
  readonly resets: Array<number> = []

  /** What a connection sends, from its beginning on. */
  readonly read = (chunk: Buffer, connection: number): void => {
    const begun = this.rest.get(connection)
    // a client sends its preface in one piece
    let bytes = begun === undefined ? chunk.subarray(PREFACE) : Buffer.concat([begun, chunk])
    while (bytes.length >= HEADER) {
      const end = HEADER + bytes.readUIntBE(0, 3)
      if (bytes.length < end) break
      if (bytes[3] === HEADERS) this.requests++
      if (bytes[3] === RST_STREAM) this.resets.push(bytes.readUInt32BE(HEADER))
      bytes = bytes.subarray(end)
    }
    this.rest.set(connection, bytes)
  }
}
