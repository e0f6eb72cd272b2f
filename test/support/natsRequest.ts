/** One request to a NATS server and its answer, by the protocol's own text. */
import { connect } from "node:net"

const TIMEOUT_MS = 5000
const INBOX = "_INBOX.wsm"

/** The JSON that answers; rejects if nobody does. */
export const natsRequest = (
  port: number,
  subject: string,
  request: unknown
): Promise<Readonly<Record<string, unknown>>> =>
  new Promise((resolve, reject) => {
    const payload = JSON.stringify(request)
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(
        `CONNECT {"verbose":false,"pedantic":false}\r\nSUB ${INBOX} 1\r\n` +
          `PUB ${subject} ${INBOX} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`
      )
    )
    let received = Buffer.alloc(0)
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`${subject}: no answer within ${TIMEOUT_MS} ms`)))
    socket.on("error", reject)
    socket.on("close", () => reject(new Error(`${subject}: the connection was closed`)))
    socket.on("data", (data) => {
      received = Buffer.concat([received, data])
      const refusal = /^-ERR .*$/m.exec(received.toString("latin1"))
      if (refusal !== null) return void socket.destroy(new Error(refusal[0]))
      const head = /^MSG \S+ \S+ +(?:\S+ +)?(\d+)\r\n/m.exec(received.toString("latin1"))
      if (head === null) return
      const start = head.index + head[0].length
      const end = start + Number(head[1])
      if (received.length < end) return
      resolve(JSON.parse(received.toString("utf8", start, end)) as Record<string, unknown>)
      socket.destroy()
    })
  })
