/** A fleet of real processes over one data directory, a counting server they connect to, and the consumer's judgement. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { type CountingServer, HEADERS, startCountingServer, violations } from "../support/countingServer.mjs"
import { afterwards, Instance, temporaryFolder, type TopicEvent, until } from "./support.js"

const TOPIC = "fleet"
const LOAD_EVERY_MS = 500

export class Fleet {
  /** whoever runs, by name */
  readonly instances = new Map<string, Instance>()
  /** what each instance's own bus handed on, also of those that are gone */
  readonly published: Array<{ readonly by: string; readonly events: ReadonlyArray<TopicEvent> }> = []
  ids: ReadonlyArray<string> = []

  private constructor(
    readonly server: CountingServer,
    private readonly folder: string
  ) {}

  /** Starts that many, `i0`, `i1`, …; done when each knows all others. */
  static async start(count: number): Promise<Fleet> {
    const server = await startCountingServer()
    afterwards(() => server.stop())
    const fleet = new Fleet(server, temporaryFolder())
    await Promise.all(Array.from({ length: count }, (_, i) => fleet.join(`i${i}`)))
    await fleet.acquainted()
    return fleet
  }

  /** Starts an instance of that name, a second time too. */
  async join(name: string): Promise<Instance> {
    const instance = await Instance.start({ WSM_DATA_DIR: this.folder, WSM_INSTANCE_ID: name, WSM_LOG_LEVEL: "info" })
    this.instances.set(name, instance)
    this.published.push({ by: name, events: await instance.topic(TOPIC) })
    return instance
  }

  of(name: string): Instance {
    const instance = this.instances.get(name)
    if (instance === undefined) throw new Error(`${name} does not run`)
    return instance
  }

  /** Each of those that run sees all of them alive. */
  acquainted(): Promise<void> {
    const all = [...this.instances.values()]
    const sees = async (instance: Instance) => {
      const { instances } = await instance.call((client) => client.ListInstances({}))
      return instances.filter(({ status }) => status === "INSTANCE_STATUS_ALIVE").length === all.length
    }
    return until(async () => (await Promise.all(all.map(sees))).every(Boolean), "they know each other", 30_000)
  }

  /** Connects that many through each instance, and puts load on all. */
  async connect(each: number): Promise<void> {
    const request = {
      url: this.server.url,
      headers: HEADERS,
      topic: TOPIC,
      handover: "HANDOVER_MAKE_BEFORE_BREAK"
    } as const
    const connected = [...this.instances.values()].map((instance) =>
      instance.call((client) =>
        Effect.forEach(Array.from({ length: each }), () => client.Connect(request), { concurrency: 20 })
      )
    )
    this.ids = (await Promise.all(connected)).flat().map(({ connection }) => connection.id)
    this.server.load(LOAD_EVERY_MS)
    await until(() => this.frames().length > this.ids.length * 2, "frames arrive")
  }

  frames(): ReadonlyArray<TopicEvent> {
    return this.published.flatMap(({ events }) => events)
  }

  /** The last socket of each connection that is open, by id. */
  owners(): ReadonlyMap<string, string> {
    const open = this.server.log.filter(({ closedAt }) => closedAt === undefined)
    return new Map(open.map(({ id, instance }) => [id, instance]))
  }

  /** Every connection has a socket of one of these. */
  async upAt(names: ReadonlyArray<string>, withinMs: number): Promise<void> {
    const there = () => {
      const owners = this.owners()
      return this.ids.filter((id) => names.includes(owners.get(id) ?? "")).length
    }
    await until(
      () => there() === this.ids.length,
      `all ${this.ids.length} connections up at ${names.join(", ")}`,
      withinMs
    ).catch((error: Error) => {
      throw new Error(`${error.message}; up: ${there()}`)
    })
  }

  /** One socket for each connection now; never two of one epoch, no epoch went back; every frame in order and stamped once. */
  async judge(): Promise<void> {
    await until(() => this.server.sockets() === this.ids.length, "one socket for each connection")
    expect(this.server.up(this.ids)).toBe(this.ids.length)
    expect(violations(this.server.log)).toEqual([])
    expect(this.disorder()).toEqual([])
  }

  /**
   * What a consumer must never see: an instance that goes back or skips within an epoch, or one stamp on two frames. The
   * server numbers the frames of a socket, and here an epoch has one socket, so number and sequence must agree.
   */
  private disorder(): ReadonlyArray<string> {
    const found: Array<string> = []
    const stamps = new Map<string, string>()
    for (const { by, events } of this.published) {
      const last = new Map<string, { epoch: number; sequence: number; number: number }>()
      for (const { data, id, subject, epoch, sequence } of events) {
        const now = { epoch: Number(epoch), sequence: Number(sequence), number: Number(data!.split(" ")[0]) }
        const before = last.get(subject!)
        if (before !== undefined && before.epoch === now.epoch) {
          if (now.sequence !== before.sequence + 1 || now.number !== before.number + 1)
            found.push(`${by}: ${id} "${data}" after ${before.epoch}:${before.sequence}`)
        } else if (before !== undefined && before.epoch > now.epoch) found.push(`${by}: ${id} after ${before.epoch}`)
        last.set(subject!, now)
        if (stamps.has(id!) && stamps.get(id!) !== data) found.push(`${by}: ${id} twice`)
        stamps.set(id!, data!)
      }
    }
    return found
  }
}

/** The number at that part of the sorted values. */
export const quantile = (values: ReadonlyArray<number>, part: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

/** Says how long connections were without a socket. */
export const report = (what: string, millis: ReadonlyArray<number>): void => {
  const figures = [0.5, 0.99, 1].map((part) => quantile(millis, part))
  process.stderr.write(
    `${what}: ${millis.length} connections, p50 ${figures[0]} p99 ${figures[1]} max ${figures[2]} ms\n`
  )
}
