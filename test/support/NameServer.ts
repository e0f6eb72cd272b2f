/**
 * A DNS server on loopback, UDP and TCP on one port, that answers each name as a test says: with addresses, a chain of aliases,
 * an error, nothing at all, cut short, under another id, with garbage.
 */
import * as Dgram from "node:dgram"
import { once } from "node:events"
import * as Net from "node:net"

export interface Records {
  readonly a?: ReadonlyArray<string>
  readonly aaaa?: ReadonlyArray<string>
  /** seconds */
  readonly ttl?: number
  /** names between the one asked for and the one that has the addresses */
  readonly via?: ReadonlyArray<string>
  /** over UDP only the beginning, and the bit that says so */
  readonly truncate?: boolean
  /** milliseconds until it answers */
  readonly after?: number
  /** first an answer under another id, with this address */
  readonly forged?: string
}

export type Behaviour =
  | Records
  | "silent"
  | "nxdomain"
  | "servfail"
  | "refused"
  | "garbage"
  /** answers for IPv4, is silent for IPv6 */
  | { readonly only4: string }

interface Query {
  readonly name: string
  readonly type: "A" | "AAAA"
  readonly tcp: boolean
}

const TYPES: Readonly<Record<number, Query["type"]>> = { 1: "A", 28: "AAAA" }
const RCODES = { nxdomain: 3, servfail: 2, refused: 5 } as const

export class NameServer {
  /** in the order in which they came */
  readonly queries: Array<Query> = []
  private readonly sockets = new Set<Net.Socket>()
  private readonly timers = new Set<NodeJS.Timeout>()

  private constructor(
    private readonly behave: (name: string) => Behaviour,
    private readonly udp: Dgram.Socket,
    private readonly tcp: Net.Server
  ) {
    udp.on("message", (message, { address, port }) => {
      this.answer(message, false, (bytes) => udp.send(bytes, port, address, () => {}))
    })
    tcp.on("connection", (socket) => {
      this.sockets.add(socket)
      socket.on("close", () => this.sockets.delete(socket)).on("error", () => {})
      let read = Buffer.alloc(0)
      socket.on("data", (chunk) => {
        read = Buffer.concat([read, chunk])
        while (read.length >= 2 && read.length >= 2 + read.readUInt16BE(0)) {
          const size = read.readUInt16BE(0)
          const message = read.subarray(2, 2 + size)
          read = read.subarray(2 + size)
          this.answer(message, true, (bytes) => socket.write(Buffer.concat([u16(bytes.length), bytes])))
        }
      })
    })
  }

  /** `behave` is asked for each query; names in lower case. */
  static async start(behave: (name: string) => Behaviour, host = "127.0.0.1"): Promise<NameServer> {
    for (;;) {
      const tcp = Net.createServer().listen(0, host)
      await once(tcp, "listening")
      const udp = Dgram.createSocket("udp4")
      udp.bind((tcp.address() as Net.AddressInfo).port, host)
      const bound = await Promise.race([once(udp, "listening").then(() => true), once(udp, "error").then(() => false)])
      if (bound) return new NameServer(behave, udp, tcp)
      // the port is somebody else's for UDP
      tcp.close()
    }
  }

  get address(): string {
    return `127.0.0.1:${this.udp.address().port}`
  }

  /** How often a name was asked for its IPv4 addresses. */
  asked(name: string): number {
    return this.queries.filter((query) => query.name === name && query.type === "A" && !query.tcp).length
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearTimeout(timer)
    for (const socket of this.sockets) socket.destroy()
    this.tcp.close()
    this.udp.close()
    await once(this.udp, "close")
  }

  private answer(message: Buffer, tcp: boolean, send: (bytes: Buffer) => void): void {
    const labels: Array<string> = []
    let at = 12
    for (let size = message[at]!; size > 0; size = message[at]!) {
      labels.push(message.toString("latin1", at + 1, at + 1 + size))
      at += 1 + size
    }
    const question = message.subarray(12, at + 5)
    const type = TYPES[message.readUInt16BE(at + 1)]
    const name = labels.join(".").toLowerCase()
    if (type === undefined) return
    this.queries.push({ name, type, tcp })
    const found = this.behave(name)
    const behaviour: Behaviour =
      typeof found === "object" && "only4" in found ? (type === "A" ? { a: [found.only4] } : "silent") : found
    if (behaviour === "silent") return
    if (behaviour === "garbage") return send(Buffer.concat([message.subarray(0, 2), Buffer.alloc(40, 0xff)]))
    const head = (id: number, code: number, answers: number, truncated = false) =>
      Buffer.concat([u16(id), u16(0x8180 | code | (truncated ? 0x0200 : 0)), u16(1), u16(answers), u16(0), u16(0)])
    const id = message.readUInt16BE(0)
    if (typeof behaviour === "string") return send(Buffer.concat([head(id, RCODES[behaviour], 0), question]))
    const { a = [], aaaa = [], after = 0, forged, truncate = false, ttl = 60, via = [] } = behaviour
    const record = (owner: string, kind: number, data: Buffer) =>
      Buffer.concat([encodeName(owner), u16(kind), u16(1), u16(0), u16(ttl), u16(data.length), data])
    const chain = [name, ...via]
    const aliases = via.map((to, i) => record(chain[i]!, 5, encodeName(to)))
    const addresses = type === "A" ? a.map((one) => [1, v4(one)] as const) : aaaa.map((one) => [28, v6(one)] as const)
    const records = [...aliases, ...addresses.map(([kind, data]) => record(chain.at(-1)!, kind, data))]
    const reply = () => {
      if (forged !== undefined && type === "A") {
        send(Buffer.concat([head(id ^ 1, 0, 1), question, record(name, 1, v4(forged))]))
      }
      if (truncate && !tcp) return send(Buffer.concat([head(id, 0, 0, true), question]))
      send(Buffer.concat([head(id, 0, records.length), question, ...records]))
    }
    if (after === 0) return reply()
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      reply()
    }, after)
    this.timers.add(timer)
  }
}

const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0])
  ])

const v4 = (address: string): Buffer => Buffer.from(address.split(".").map(Number))

/** With at most one `::`. */
const v6 = (address: string): Buffer => {
  const [head = "", tail = ""] = address.split("::")
  const parts = (text: string) => text.split(":").filter((part) => part !== "")
  const missing = 8 - parts(head).length - parts(tail).length
  const all = address.includes("::") ? [...parts(head), ...Array(missing).fill("0"), ...parts(tail)] : parts(address)
  return Buffer.concat(all.map((part) => u16(Number.parseInt(part, 16))))
}
