/**
 * The other end of every measured socket, in a process of its own.
 *
 * A bare net server that does the opening handshake by hand, so that writing costs next to nothing: what is measured is the
 * reader. Sockets are grouped by the path of their URL; each group floods, trickles or rests as it is told. Another port
 * echoes, by `ws`.
 */
import { createHash } from "node:crypto"
import { createServer } from "node:net"
import { WebSocketServer } from "ws"
import { answer } from "./lib/child.mjs"

const FRAME_BYTES = 200
const HEADER = Buffer.from([0x81, 126, 0, FRAME_BYTES])
const FRAME = Buffer.concat([HEADER, Buffer.from("x".repeat(FRAME_BYTES))])
const FRAMES_PER_BLOCK = Math.floor(65_536 / FRAME.length)
const BLOCK = Buffer.concat(Array.from({ length: FRAMES_PER_BLOCK }, () => FRAME))

/** @typedef {{ sockets: Set<import("node:net").Socket>, frames: number, stop: () => void }} Group */
/** @type {Map<string, Group>} */
const groups = new Map()
/** @param {string} name */
const groupOf = (name) => {
  let group = groups.get(name)
  if (group === undefined) groups.set(name, (group = { sockets: new Set(), frames: 0, stop: () => {} }))
  return group
}

// ------------------------------------------------------------ the opening handshake, pings and closing

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** @param {import("node:net").Socket} socket @param {string} request */
const open = (socket, request) => {
  const name = /^GET \/(\S*) /.exec(request)?.[1] ?? ""
  const key = /^sec-websocket-key: *(\S+)/im.exec(request)?.[1] ?? ""
  const accept = createHash("sha1")
    .update(key + GUID)
    .digest("base64")
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
  )
  const { sockets } = groupOf(name)
  sockets.add(socket)
  socket.on("close", () => sockets.delete(socket))
}

/** Control frames alone come in, each whole and in a chunk of its own. @param {import("node:net").Socket} socket @param {Buffer} chunk */
const control = (socket, chunk) => {
  const opcode = chunk[0] & 15
  if (opcode === 8) socket.end(Buffer.from([0x88, 0]))
  if (opcode === 9) socket.write(Buffer.from([0x8a, 0]))
}

const server = createServer({ noDelay: true }, (socket) => {
  let head = ""
  let isOpen = false
  socket.on("error", () => {})
  socket.on("data", (chunk) => {
    if (isOpen) return control(socket, chunk)
    head += chunk.toString("latin1")
    if (!head.endsWith("\r\n\r\n")) return
    isOpen = true
    open(socket, head)
  })
})
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 })

const echo = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false })
echo.on("connection", (ws) => ws.on("message", (data, binary) => ws.send(data, { binary })))

// ------------------------------------------------------------ what a group does

/** As fast as the sockets take it. @param {Group} group @param {() => Buffer} nextBlock */
const flood = (group, nextBlock) => {
  for (const socket of group.sockets) {
    const write = () => {
      do group.frames += FRAMES_PER_BLOCK
      while (socket.write(nextBlock()))
    }
    socket.on("drain", write)
    write()
  }
  return () => {
    for (const socket of group.sockets) socket.removeAllListeners("drain")
  }
}

/** So many frames, evenly over all sockets, each as fast as it takes them. @param {Group} group @param {number} frames */
const send = (group, frames) => {
  const each = frames / group.sockets.size
  for (const socket of group.sockets) {
    let left = each
    const write = () => {
      while (left > 0) {
        const some = Math.min(left, FRAMES_PER_BLOCK)
        left -= some
        group.frames += some
        if (!socket.write(BLOCK.subarray(0, some * FRAME.length))) return
      }
      socket.off("drain", write)
    }
    socket.on("drain", write)
    write()
  }
}

/**
 * So many frames a second over all sockets in turn, each in a write of its own.
 *
 * @param {Group} group
 * @param {number} rate
 * @param {() => Buffer} nextFrame
 * @param {number} [most] then it stops
 */
const trickle = (group, rate, nextFrame, most = Infinity) => {
  const sockets = [...group.sockets]
  const start = performance.now()
  let sent = 0
  let written = 0
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - start) / 1000) * rate)
    // After a pause of the process it goes on from here: a burst would be another measurement.
    if (due - sent > rate / 20) sent = due - 10
    for (; sent < due && written < most; sent++) {
      written++
      sockets[sent % sockets.length].write(nextFrame())
      group.frames++
    }
    if (written === most) clearInterval(timer)
  }, 1)
  return () => clearInterval(timer)
}

/** A frame that begins with the time, in nanoseconds of the clock that all processes of a machine share. */
const timedFrame = () => {
  const frame = Buffer.from(FRAME)
  frame.write(`${String(process.hrtime.bigint()).padStart(20, "0")} `, HEADER.length, "latin1")
  return frame
}

/** A block whose frames begin with their numbers, from `first` on. @param {number} first */
const numberedBlock = (first) => {
  const block = Buffer.from(BLOCK)
  for (let i = 0; i < FRAMES_PER_BLOCK; i++) {
    block.write(String(first + i).padStart(12, "0"), i * FRAME.length + HEADER.length, "latin1")
  }
  return block
}

answer({
  address: () => ({ port: server.address().port, echoPort: echo.address().port }),
  flood: ({ group }) => void (groupOf(group).stop = flood(groupOf(group), () => BLOCK)),
  floodNumbered: ({ group }) => {
    const each = groupOf(group)
    each.stop = flood(each, () => numberedBlock(each.frames - FRAMES_PER_BLOCK))
  },
  send: ({ group, frames }) => send(groupOf(group), frames),
  trickle: ({ group, rate }) => void (groupOf(group).stop = trickle(groupOf(group), rate, () => FRAME)),
  trickleTimed: ({ group, most, rate }) => void (groupOf(group).stop = trickle(groupOf(group), rate, timedFrame, most)),
  stop: ({ group }) => groupOf(group).stop(),
  /** frames handed to the sockets; bytes that the kernel took of them */
  sent: ({ group }) => {
    const { frames, sockets } = groupOf(group)
    let bytes = 0
    for (const socket of sockets) bytes += socket.bytesWritten - socket.writableLength
    return { frames, bytes, sockets: sockets.size }
  }
})
