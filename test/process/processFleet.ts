/** A fleet of three real processes, a counting server they connect to, and the judgement of its log and of a consumer. */
import { randomUUID } from "node:crypto"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { expect, onTestFailed } from "vitest"
import { readEvent } from "../../src/domain/ReadEvent.js"
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { type CountingServer, HEADERS, startCountingServer, violations } from "../support/countingServer.mjs"
import { type Judgement, judgeFrames, outOfOrder } from "./fleetJudge.js"
import { afterwards, Instance, sleep, until } from "./instanceProcess.js"

const TOPIC = "fleet"
const LOAD_EVERY_MS = 500
const SETTLED_MS = 30_000
/** A machine with other things to do may keep just started processes from renewing their leases. */
const PATIENT = { schedule: Schedule.spaced("1 second"), times: 10 }

export const NAMES = ["i0", "i1", "i2"] as const
/** connections of each instance */
export const EACH = 100
/** connections of all */
export const ALL = NAMES.length * EACH

/** A published event: its attributes, all lower case. */
export type FleetEvent = Readonly<Record<string, unknown>>

/** What a fleet keeps its state in and publishes through. */
export interface FleetBacking {
  /** what makes an instance of that name use it; called each time that it starts */
  readonly env: (name: string) => Promise<Readonly<Record<string, string>>>
  /** it takes work, and its frames will go to that topic */
  readonly joined: (instance: Instance, topic: string) => Promise<void>
  /** all that was published to the topic by now, in the order of the bus */
  readonly frames: (topic: string) => Promise<ReadonlyArray<FleetEvent>>
  /** where each instance has a bus of its own: what each of them took by now, in its order, and whose it is */
  readonly buses?: () => ReadonlyMap<string, ReadonlyArray<FleetEvent>>
  /** all lifecycle events of connections by now */
  readonly lifecycle: () => Promise<ReadonlyArray<FleetEvent>>
  /** what stands under these keys of the store */
  readonly stored: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
}

export class Fleet {
  /** whoever runs, by name */
  readonly instances = new Map<string, Instance>()
  ids: ReadonlyArray<string> = []
  /** everybody who ever ran */
  private readonly all: Array<Instance> = []

  private constructor(
    readonly server: CountingServer,
    private readonly backing: FleetBacking
  ) {}

  /** Three, `i0` to `i2`, each knowing the others, with their connections, and load on all. */
  static async start(backing: FleetBacking): Promise<Fleet> {
    const server = await startCountingServer()
    afterwards(() => server.stop())
    const fleet = new Fleet(server, backing)
    onTestFailed(() => fleet.keepLogs())
    await Promise.all(NAMES.map((name) => fleet.join(name)))
    await fleet.acquainted()
    await fleet.connect()
    return fleet
  }

  /** Starts an instance of that name, a second time too. */
  async join(name: string): Promise<Instance> {
    const env = await this.backing.env(name)
    const instance = await Instance.start({ WSM_INSTANCE_ID: name, WSM_LOG_LEVEL: "info", ...env })
    this.instances.set(name, instance)
    this.all.push(instance)
    await this.backing.joined(instance, TOPIC)
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
    // The link to one that was frozen is dialled again.
    const asked = () => Promise.all(all.map((instance) => sees(instance).catch(() => false)))
    return until(async () => (await asked()).every(Boolean), "they know each other", 30_000)
  }

  load(): void {
    this.server.load(LOAD_EVERY_MS)
  }

  private async connect(): Promise<void> {
    const request = {
      url: this.server.url,
      headers: HEADERS,
      topic: TOPIC,
      handover: "HANDOVER_MAKE_BEFORE_BREAK"
    } as const
    const connected = [...this.instances.values()].map((instance) =>
      instance.call((client) =>
        Effect.forEach(
          Array.from({ length: EACH }, () => randomUUID()),
          (requestId) => Effect.retry(client.Connect({ ...request, requestId }), PATIENT),
          { concurrency: 5 }
        )
      )
    )
    this.ids = (await Promise.all(connected)).flat().map(({ connection }) => connection.id)
    this.load()
    await until(async () => (await this.frames()).length > this.ids.length * 2, "frames arrive")
    // One that is on trial when its instance is killed is a suspect, and is dialled after the others, by design.
    const onTrial = async () => (await this.backing.stored(this.ids.map(connectionKey))).filter((one) => "trial" in one)
    await until(async () => (await onTrial()).length === 0, "none is on trial any more", 30_000)
  }

  frames(): Promise<ReadonlyArray<FleetEvent>> {
    return this.backing.frames(TOPIC)
  }

  lifecycle(): Promise<ReadonlyArray<FleetEvent>> {
    return this.backing.lifecycle()
  }

  /** The last socket of each connection that is open: whose it is. */
  owners(): ReadonlyMap<string, string> {
    const open = this.server.log.filter(({ closedAt }) => closedAt === undefined)
    return new Map(open.map(({ id, instance }) => [id, instance]))
  }

  ownedBy(name: string): ReadonlyArray<string> {
    return [...this.owners()].filter(([, owner]) => owner === name).map(([id]) => id)
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

  /**
   * One socket for each connection now; never two of one epoch, no epoch went back; each instance published in order what it
   * did; and for a consumer every frame in order, or missing where a gap was reported. Ends the load.
   */
  async judge(): Promise<Judgement> {
    await until(() => this.server.sockets() === this.ids.length, "one socket for each connection")
    expect(this.server.up(this.ids)).toBe(this.ids.length)
    expect(violations(this.server.log)).toEqual([])
    this.server.quiet()
    let judgement = await this.judged()
    for (const deadline = Date.now() + SETTLED_MS; judgement.problems.length > 0 && Date.now() < deadline;) {
      await sleep(500)
      judgement = await this.judged()
    }
    for (const [name, took] of this.backing.buses?.() ?? [])
      expect([name, outOfOrder(took).slice(0, 20)]).toEqual([name, []])
    const { lost, problems, taken } = judgement
    process.stderr.write(`  ${taken} frames taken, ${lost} lost, ${lost === 0 ? "no gap needed" : "each in a gap"}\n`)
    expect(problems.slice(0, 20)).toEqual([])
    return judgement
  }

  private keepLogs(): void {
    const folder = mkdtempSync(join(tmpdir(), "wsm-fleet-"))
    for (const [i, { id, process }] of this.all.entries())
      writeFileSync(join(folder, `${id}-${i}.log`), process.output.err)
    writeFileSync(join(folder, "server.json"), this.server.log.map((entry) => JSON.stringify(entry)).join("\n"))
    process.stderr.write(`kept for reading: ${folder}\n`)
  }

  private async judged(): Promise<Judgement> {
    const reports = (await this.lifecycle()).map(readEvent).filter((event) => event?.kind === "gap")
    return judgeFrames({ log: this.server.log, events: await this.frames(), reports })
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
