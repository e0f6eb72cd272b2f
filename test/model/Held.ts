/** Promises 2 and 4, after each step: what an instance shows is there, what should be up is dialled, and memory is bounded. */
import { BYTE_LIMIT, CONNECTIONS, FRAME_LIMIT, LARGEST_FRAME, SUM_LIMIT } from "./Limits.js"
import { whose } from "./Sockets.js"
import type { World } from "./World.js"

/** The longest between the end of a socket, or of a dial, and the next dial, for one who may act: milliseconds. */
const LONGEST_WAIT = 20_000
/** The longest that what was read for a connection waits for a healthy bus once the connection is another's, or gone. */
const LEFT_WITHIN = 10_000
/** what a frame holds beyond its payload, as the instance counts it */
const OVERHEAD = 256

export class Held {
  /** since when a record that should be up has neither socket nor dial, of an owner that could */
  private readonly silent = new Map<string, number>()
  /** how many connections each instance had, look by look */
  private readonly had = new Map<number, Array<{ readonly at: number; readonly connections: number }>>()

  constructor(private readonly world: World) {}

  look(): void {
    for (const { context, number, process } of this.world.cluster.instances) {
      // whoever leaves has released what it shows
      if (process.dead || process.frozen || context() === undefined) continue
      this.memory(number)
      if (this.world.cluster.isReady(number)) this.shown(number)
    }
    this.dialled()
  }

  private shown(number: number): void {
    const open = [...this.world.cluster.sockets.open].filter(({ instance }) => instance === number).length
    const connected = this.world.gauge(number, "connections", "connected")
    if (connected > open) {
      this.violation("P2 silently dead", `${number} shows ${connected} connected, and has ${open} sockets`)
    }
  }

  /**
   * What an instance may hold buffers for: the connections it has and had of late, not all that it ever had. What waits of one
   * that was given away, removed or lost goes as soon as the bus takes it, or at once.
   */
  private connections(number: number): number {
    const since = this.world.busTroubleSince(this.world.time.now - LEFT_WITHIN, LEFT_WITHIN)
    const looks = this.had.get(number) ?? []
    this.had.set(number, looks)
    looks.push({ at: this.world.time.now, connections: this.world.gauge(number, "connections") })
    while (looks.length > 1 && looks[1]!.at <= since) looks.shift()
    const given = this.world.check.epochsGiven(number, Math.min(since, looks[0]!.at))
    return Math.max(looks[0]!.connections, looks.at(-1)!.connections) + given
  }

  /** Once all is healed and the servers are calm, nothing waits but what has just come. */
  settled(): void {
    for (const { context, number, process } of this.world.cluster.instances) {
      if (process.dead || process.frozen || context() === undefined) continue
      const frames = this.world.gauge(number, "buffer_frames")
      const connections = this.world.gauge(number, "connections")
      if (frames > 2 * connections) {
        this.violation(
          "P4 frames wait for ever",
          `${number} holds ${frames} frames, and has ${connections} connections`
        )
      }
    }
  }

  /**
   * By count and bytes for each connection, and by the sum: where all of it is on its way, one more frame is taken; and what was
   * on its way when the lease was lost is held beside what the lane after it takes.
   */
  private memory(number: number): void {
    const frames = this.world.gauge(number, "buffer_frames")
    const bytes = this.world.gauge(number, "buffer_bytes")
    const connections = this.connections(number)
    const lanes = 2 * connections
    const said = `${number} holds ${frames} frames of ${bytes} bytes, and had ${connections} connections of late`
    if (frames > (FRAME_LIMIT + 1) * lanes) this.violation("P4 a buffer is over its bound", said)
    if (bytes > (BYTE_LIMIT + LARGEST_FRAME) * lanes) this.violation("P4 a buffer is over its bound in bytes", said)
    if (bytes + frames * OVERHEAD > SUM_LIMIT + (LARGEST_FRAME + OVERHEAD) * lanes) {
      this.violation("P4 the buffers of an instance are over their bound", said)
    }
  }

  private dialled(): void {
    const { cluster } = this.world
    const tried = new Set([...cluster.sockets.dialled].map((socket) => `${whose(socket).id}@${whose(socket).epoch}`))
    for (const [key, row] of this.world.rows()) {
      if (!key.startsWith(CONNECTIONS)) continue
      const id = key.slice(CONNECTIONS.length)
      const owner = this.world.check.numberOf(row["incarnation"])
      const up = row["status"] !== "CONNECTION_STATUS_FAILED" && row["status"] !== "CONNECTION_STATUS_DISCONNECTED"
      const could =
        owner !== undefined &&
        !this.world.instance(owner).process.dead &&
        !this.world.instance(owner).process.frozen &&
        this.world.incarnation(owner) === row["incarnation"] &&
        this.world.holdsLease(owner) &&
        cluster.isReady(owner) &&
        cluster.reaches(owner)
      if (row["tombstone"] || !up || !could || tried.has(`${id}@${row["epoch"]}`)) {
        this.silent.delete(id)
        continue
      }
      const since = this.silent.get(id) ?? this.world.time.now
      this.silent.set(id, since)
      if (this.world.time.now - since > LONGEST_WAIT) {
        this.violation("P2 neither open nor dialled", `${id} epoch ${row["epoch"]} at ${owner}, since ${since}`)
      }
    }
  }

  private violation(kind: string, text: string): void {
    this.world.check.violation(kind, text)
  }
}
