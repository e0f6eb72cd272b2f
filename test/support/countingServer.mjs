/**
 * A WebSocket server whose own log is the judge of a fleet: each connection tells its id, epoch and instance in headers, so
 * that the log says who had a socket when. On request every open socket is sent numbered frames, all at the same time, as a
 * feed does.
 *
 * In plain JavaScript, so that the bench runs it as it is.
 */
import { once } from "node:events"
import { WebSocketServer } from "ws"

/** What a connection to this server must send. */
export const HEADERS = {
  "x-connection": "${connection:id}",
  "x-epoch": "${connection:epoch}",
  "x-instance": "${instance:id}"
}

export const startCountingServer = async () => {
  const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", backlog: 4096, perMessageDeflate: false })
  await once(wss, "listening")
  /** @type {Array<import("./countingServer.mjs").Entry>} */
  const log = []
  /** @type {Map<import("./countingServer.mjs").Entry, { socket: import("ws").WebSocket, number: number }>} */
  const open = new Map()

  wss.on("connection", (socket, request) => {
    const { "x-connection": id = "", "x-epoch": epoch = "0", "x-instance": instance = "" } = request.headers
    const entry = { id: String(id), epoch: Number(epoch), instance: String(instance), openedAt: Date.now(), sentAt: [] }
    const number = log.push(entry) - 1
    open.set(entry, { socket, number })
    socket.on("error", () => {})
    socket.on("close", (code) => {
      open.delete(entry)
      Object.assign(entry, { closedAt: Date.now(), code })
    })
  })

  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const quiet = () => clearInterval(timer)
  return {
    url: `ws://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (wss.address()).port}`,
    log,
    /** how many of the connections have a socket now */
    up: (ids) => {
      const now = new Set([...open.keys()].map(({ id }) => id))
      return ids.filter((id) => now.has(id)).length
    },
    sockets: () => open.size,
    /**
     * From now on each socket is sent a frame `<number of the frame> <milliseconds since 1970> <number of the socket in the
     * log>` that often.
     */
    load: (everyMs) => {
      quiet()
      timer = setInterval(() => {
        const now = Date.now()
        for (const [entry, { number, socket }] of open) {
          if (socket.readyState === socket.OPEN) socket.send(`${entry.sentAt.push(now)} ${now} ${number}`)
        }
      }, everyMs)
    },
    quiet,
    stop: async () => {
      quiet()
      for (const { socket } of open.values()) socket.terminate()
      await new Promise((resolve) => wss.close(resolve))
    }
  }
}

/**
 * What the log shows that must never be: two sockets of one connection and epoch at a time, or an epoch that went back.
 *
 * @param {ReadonlyArray<import("./countingServer.mjs").Entry>} log
 */
export const violations = (log) => {
  const found = []
  const last = new Map()
  for (const entry of log) {
    const before = last.get(entry.id)
    if (before !== undefined) {
      if (entry.epoch < before.epoch) found.push(`${entry.id}: epoch ${entry.epoch} after ${before.epoch}`)
      else if (entry.epoch === before.epoch && !(before.closedAt <= entry.openedAt))
        found.push(`${entry.id}: two sockets in epoch ${entry.epoch}, of ${before.instance} and ${entry.instance}`)
      else if (entry.epoch === before.epoch && entry.instance !== before.instance)
        found.push(`${entry.id}: epoch ${entry.epoch} of ${before.instance} and of ${entry.instance}`)
    }
    last.set(entry.id, entry)
  }
  return found
}

/**
 * Milliseconds without a working socket, of each connection that lost its own: from `at` (a frozen owner's sockets stay
 * open, but nobody is behind them) to the first open after it; Infinity where none came.
 *
 * @param {ReadonlyArray<import("./countingServer.mjs").Entry>} log
 * @param {string} instance who was lost
 */
export const outages = (log, instance, at) => {
  const lost = new Map()
  for (const { id, instance: owner, openedAt, closedAt } of log) {
    if (openedAt <= at && owner === instance && !(closedAt < at)) lost.set(id, Infinity)
    else if (openedAt > at && lost.get(id) === Infinity) lost.set(id, openedAt - at)
  }
  return [...lost.values()]
}
