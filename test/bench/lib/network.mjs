/**
 * The network between the instances of a fleet: each is advertised at a proxy of its own, and one of them can be cut off from
 * all others, in both directions. Whoever sent into the cut gets no answer, and no end either.
 *
 * Whose connection it is that a proxy accepts, the kernel knows by its port (`/proc`, so on Linux only).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { connect, createServer } from "node:net"

/** @typedef {import("node:net").Socket} Socket */

/** Why it cannot be used here; undefined: it can. */
export const lackOfNetwork = () =>
  process.platform === "linux" ? undefined : "who dials whom is read from Linux's /proc"

/** @typedef {ReturnType<typeof makeNetwork>} Network */

export const makeNetwork = () => {
  /** @type {Map<string, { server: import("node:net").Server, to?: number, pid?: number }>} */
  const doors = new Map()
  /** @type {Set<{ name: string, flows: boolean, client: Socket, upstream?: Socket }>} */
  const pairs = new Set()
  /** @type {{ name: string, pid: number } | undefined} who is cut off */
  let lone

  const concerned = ({ client, name }) =>
    lone !== undefined && (name === lone.name || portsOf(lone.pid).has(client.remotePort))

  const destroy = (pair) => {
    pairs.delete(pair)
    pair.client.destroy()
    pair.upstream?.destroy()
  }

  const flow = (pair) => {
    const { to } = doors.get(pair.name)
    if (pair.flows || to === undefined || concerned(pair)) return
    pair.flows = true
    pair.upstream ??= connect({ port: to, host: "127.0.0.1", noDelay: true })
      .on("error", () => destroy(pair))
      .on("close", () => destroy(pair))
    pair.client.pipe(pair.upstream)
    pair.upstream.pipe(pair.client)
  }

  const halt = (pair) => {
    pair.flows = false
    pair.client.unpipe().pause()
    pair.upstream?.unpipe().pause()
  }

  const accept = (name) => (/** @type {import("node:net").Socket} */ client) => {
    const pair = { name, client, flows: false }
    pairs.add(pair)
    client.pause()
    client.on("error", () => destroy(pair)).on("close", () => destroy(pair))
    flow(pair)
  }

  return {
    /** The address to advertise; what comes before the instance is up waits. */
    door: async (/** @type {string} */ name) => {
      if (!doors.has(name)) {
        const server = createServer({ noDelay: true }, accept(name))
        await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)))
        doors.set(name, { server })
      }
      return `http://127.0.0.1:${/** @type {any} */ (doors.get(name).server.address()).port}`
    },
    /** Where that address leads from now on. */
    leads: (/** @type {string} */ name, /** @type {{ url: string, pid: number }} */ { pid, url }) => {
      Object.assign(doors.get(name), { to: Number(new URL(url).port), pid })
      for (const pair of pairs) if (pair.name === name) flow(pair)
    },
    cut: (/** @type {string} */ name) => {
      lone = { name, pid: doors.get(name).pid }
      for (const pair of pairs) if (concerned(pair)) halt(pair)
    },
    heal: () => {
      lone = undefined
      for (const pair of pairs) flow(pair)
    },
    stop: async () => {
      for (const pair of pairs) destroy(pair)
      for (const { server } of doors.values()) server.close()
    }
  }
}

/** The local ports of a process's TCP sockets over IPv4. */
const portsOf = (/** @type {number} */ pid) => {
  const inodes = new Set()
  const folder = `/proc/${pid}/fd`
  for (const fd of orElse(() => readdirSync(folder), [])) {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(orElse(() => readlinkSync(`${folder}/${fd}`), "")) ?? []
    if (inode !== undefined) inodes.add(inode)
  }
  const ports = new Set()
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (inodes.has(fields[9])) ports.add(Number.parseInt(fields[1].split(":")[1], 16))
  }
  return ports
}

/** A process may end meanwhile, and a file be closed. */
const orElse = (read, otherwise) => {
  try {
    return read()
  } catch {
    return otherwise
  }
}
