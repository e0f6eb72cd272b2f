/** A cluster in virtual time, what can happen to it from outside, and the observer of it all. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { uuidv8FromRequest } from "../../src/common/Uuid.js"
import type { ManagerError } from "../../src/domain/Errors.js"
import type { ConnectionManager } from "../../src/manager/ConnectionManager.js"
import { Lease } from "../../src/membership/lease/Lease.js"
import { Membership } from "../../src/membership/Membership.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { type Fate, isWrite, type StoreCall } from "../../src/testing/FaultyStore.js"
import type { MemorySocket } from "../../src/testing/MemorySockets.js"
import { type Instance, type StartOptions, TestCluster } from "../../src/testing/TestCluster.js"
import { Checker } from "./Checker.js"
import { BYTE_LIMIT, FRAME_LIMIT, SUM_LIMIT } from "./Limits.js"
import { Feed, whose } from "./Sockets.js"
import { type Rng, rng, VirtualTime } from "./VirtualTime.js"

type Manager = ConnectionManager["Type"]
type Json = Record<string, any>

/** What the network and the machines are like, for a whole run. */
export interface Weather {
  /** clocks run at rates that differ by so much from 1 */
  readonly drift: number
  readonly loseRequest: number
  readonly loseResponse: number
  /** of the writes without an answer, how many land later */
  readonly late: number
  readonly slow: number
  /** the chance that a process is stopped before a step of a fiber */
  readonly stumble: number
  readonly crashDetection: boolean
}

export const CALM: Weather = {
  drift: 0.02,
  loseRequest: 0,
  loseResponse: 0,
  late: 0,
  slow: 0,
  stumble: 0,
  crashDetection: true
}

/** the latest that a lost write lands, milliseconds */
export const LATEST = 8_000
const STORE_DEADLINE = 1_000

export class World {
  readonly rng: Rng
  readonly time: VirtualTime
  readonly check: Checker
  readonly trace: Array<string> = []
  cluster!: TestCluster
  healing = false
  weather: Weather
  /** the part of the dials that the servers refuse */
  refusals = 0.03
  /** the part of the dials that take long */
  slowDials = 0.1
  /** decides a call's fate before the weather does; undefined: leaves it to that */
  fate: ((instance: number, call: StoreCall) => Fate | undefined) | undefined
  private readonly thawed = new Map<number, number>()
  private readonly cutLog: Array<{ readonly a: number; readonly b: number; readonly from: number; to: number }> = []
  private readonly refused = new Set<number>()
  private readonly busTroubles: Array<{ readonly from: number; readonly to: number }> = []
  private readonly hindrances: Array<{
    readonly who: ReadonlyArray<number> | "all"
    readonly from: number
    readonly to: number
  }> = []
  private readonly feed: Feed
  private readonly keys = new Set<string>()
  private outageUntil = 0
  /** of the whole run */
  readonly scope = Effect.runSync(Scope.make())
  private readonly backend = new MemoryState.MemoryBackend()

  constructor(
    seed: number,
    weather: Partial<Weather> = {},
    private readonly traced = false
  ) {
    this.weather = { ...CALM, ...weather }
    this.rng = rng(seed)
    this.time = new VirtualTime(rng(seed ^ 0x5bd1e995))
    this.check = new Checker(this)
    this.feed = new Feed(this.time, this.rng)
  }

  log(...words: ReadonlyArray<unknown>): void {
    if (this.traced) this.trace.push(`${(this.time.now / 1000).toFixed(3).padStart(8)} ${words.join(" ")}`)
  }

  /** Plays in virtual time; everything that `body` does to the world happens in it. */
  static play(seed: number, weather: Partial<Weather>, body: (world: World) => void, traced = false): World {
    const world = new World(seed, weather, traced)
    const restore = world.time.install()
    try {
      world.begin()
      body(world)
    } finally {
      restore()
    }
    return world
  }

  private begin(): void {
    const store = this.observed()
    this.time.run(
      TestCluster.make({
        ground: this.time.ground,
        store,
        storeDeadlineMs: STORE_DEADLINE,
        fate: (instance, call) => this.fateOf(instance, call),
        settings: {
          crashDetection: this.weather.crashDetection ? "refused" : "off",
          dialRatePerHost: 1000,
          bufferMaxBytes: SUM_LIMIT,
          drainTimeout: Duration.seconds(10)
        },
        sockets: {
          dialMs: () => (this.rng.chance(this.slowDials) ? this.rng.between(300, 1500) : this.rng.between(5, 60)),
          refuses: () => !this.healing && this.rng.chance(this.refusals),
          onOpen: (socket) => this.onOpen(socket),
          onClosed: (socket) => this.log("  socket closed", socket.instance, socket.target.headers["x-connection"])
        }
      }).pipe(
        Scope.extend(this.scope),
        Effect.map((cluster) => {
          this.cluster = cluster
          cluster.network.delay = () => this.rng.between(1, 15)
          cluster.bus.onPublished = (published) => {
            const { event } = published
            if (event.kind === "lifecycle") {
              this.log("  event", published.instance, event.name, event.connectionId, event.epoch || "", JSON.stringify(event.attributes)) // prettier-ignore
            }
            this.check.published(published)
          }
        })
      )
    )
  }

  // ------------------------------------------------------------ the store

  private observed(): StateStore["Type"] {
    const inner = Context.get(Effect.runSync(Effect.scoped(Layer.build(MemoryState.layer(this.backend)))), StateStore)
    const parsed = (key: string): Json | undefined => {
      const entry = this.backend.read(key, Date.now())
      return entry === undefined ? undefined : JSON.parse(entry.value)
    }
    const watch = <A, E>(key: string, value: string, write: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        const old = parsed(key)
        return Effect.tap(write, () =>
          Effect.sync(() => {
            const now: Json = JSON.parse(value)
            if (this.traced && (now["status"] !== "alive" || old?.["status"] !== "alive")) {
              this.log("  store", key.slice(17), brief(now))
            }
            this.check.written(key, now, old)
          })
        )
      })
    return {
      ...inner,
      create: (key, value, options) => watch(key, value, inner.create(key, value, options)),
      replace: (key, value, expected, options) => watch(key, value, inner.replace(key, value, expected, options))
    }
  }

  private fateOf(instance: number, call: StoreCall): Fate {
    const fate = this.drawn(instance, call)
    if (fate.arrives !== undefined) this.check.emptied.sent(instance, call, this.time.now + fate.arrives)
    return fate
  }

  private drawn(instance: number, call: StoreCall): Fate {
    const chosen = this.fate?.(instance, call)
    if (chosen !== undefined) return chosen
    const { rng: r, weather } = this
    const write = isWrite(call)
    const late = (): Fate => (write && r.chance(weather.late) ? { arrives: r.between(500, LATEST) } : {})
    if (!this.cluster.reaches(instance)) return late()
    if (!this.healing && r.chance(weather.loseRequest)) return late()
    const delay = () => (!this.healing && r.chance(weather.slow) ? r.between(100, 2_000) : r.between(1, 12))
    const arrives = delay()
    return !this.healing && write && r.chance(weather.loseResponse) ? { arrives } : { arrives, answers: delay() }
  }

  /** Everything that stands in the store, parsed. */
  rows(): ReadonlyMap<string, Json> {
    const now = Date.now()
    return new Map(
      [...this.backend.entries]
        .filter(([, { expiresAt }]) => expiresAt > now)
        .map(([key, { value }]) => [key, JSON.parse(value) as Json])
    )
  }

  /** Somebody else's doing, past every fault: as if a write of long ago, or an expiry, came through now. */
  meddle(key: string, change: (value: Json | undefined) => Json | undefined): void {
    const old = this.rows().get(key)
    const value = change(old)
    if (value === undefined) this.backend.entries.delete(key)
    else this.backend.write(key, JSON.stringify(value), Infinity, Date.now())
  }

  /** The store forgets everything. */
  wipe(): void {
    this.log("WIPE")
    this.check.wiped(this.rows())
    this.backend.entries.clear()
  }

  // ------------------------------------------------------------ instances

  instance(number: number): Instance {
    return this.cluster.instances[number]!
  }
  get living(): ReadonlyArray<Instance> {
    return this.cluster.instances.filter(({ process }) => !process.dead)
  }
  get ready(): ReadonlyArray<Instance> {
    return this.living.filter(({ number, process }) => !process.frozen && this.cluster.isReady(number))
  }

  start(options: StartOptions = {}): number {
    const { rng: r, weather } = this
    const number = this.cluster.start({
      rate: 1 + r.between(-weather.drift, weather.drift),
      stumbles: () => {
        if (this.healing || this.weather.stumble === 0 || !r.chance(this.weather.stumble)) return false
        const n = number
        this.time.after(0, () => this.freeze(n, r.between(200, 12_000)))
        this.cluster.freeze(n)
        return true
      },
      ...options
    })
    this.log("START", number, this.instance(number).id)
    return number
  }

  /** The same id again: on the same host, in another container there, or elsewhere. */
  restart(of: Instance, where: "process" | "container" | "elsewhere"): number {
    const taken = this.living.some(({ address }) => address === of.address)
    if (where === "elsewhere" || taken) return this.start({ id: of.id })
    const host = where === "process" ? of.host : { ...of.host, pidNamespace: `again-${this.cluster.instances.length}` }
    return this.start({ id: of.id, address: of.address, host })
  }

  crash(number: number): void {
    this.log("CRASH", number)
    this.cluster.crash(number)
  }

  freeze(number: number, ms: number, suspended = false): void {
    if (this.instance(number).process.dead) return
    this.log("FREEZE", number, Math.round(ms), suspended ? "suspended" : "")
    this.hinder([number], ms)
    this.cluster.freeze(number, suspended)
    this.time.after(ms, () => this.thaw(number))
  }

  thaw(number: number): void {
    const { process } = this.instance(number)
    if (!process.frozen) return
    this.log("THAW", number)
    this.thawed.set(number, this.time.now)
    this.cluster.thaw(number)
  }
  thawedAt(number: number): number {
    return this.thawed.get(number) ?? -Infinity
  }

  /** Unless somebody with its id is there already. */
  comeBack(of: Instance, where: number): void {
    if (this.living.some(({ id }) => id === of.id) && where % 5 > 0) return
    this.restart(of, (["process", "container", "elsewhere"] as const)[where % 3]!)
  }

  drain(number: number): void {
    this.log("DRAIN", number)
    this.time.run(Effect.ignore(this.cluster.stop(number)))
  }

  // ------------------------------------------------------------ faults

  cutFromStore(number: number, ms: number): void {
    this.log("CUT", number, Math.round(ms))
    this.hinder([number], ms)
    this.cluster.cutFromStore(number)
    this.time.after(ms, () => {
      this.log("UNCUT", number)
      this.cluster.reconnectToStore(number)
    })
  }

  cutPeers(a: number, b: number, ms: number): void {
    if (this.instance(a).address === this.instance(b).address) return
    this.log("CUTPAIR", a, b, Math.round(ms))
    const cut = { a, b, from: this.time.now, to: this.time.now + ms }
    this.cutLog.push(cut)
    this.hinder([a, b], ms)
    this.cluster.cutFromPeers(a, b)
    this.time.after(ms, () => this.cluster.network.heal(this.instance(a).address, this.instance(b).address))
  }
  wasCut(a: number, b: number): boolean {
    const recent = this.time.now - 20_000
    return this.cutLog.some((c) => c.to > recent && ((c.a === a && c.b === b) || (c.a === b && c.b === a)))
  }

  /** A strange network: dials to a living process are refused, and what stood breaks. */
  refuse(number: number, ms: number): void {
    const { address } = this.instance(number)
    this.log("REFUSES FALSELY", number, Math.round(ms))
    this.check.strange++
    this.hinder("all", ms)
    this.refused.add(number)
    this.cluster.network.refuse(address)
    for (const other of this.living) if (other.number !== number) this.cluster.network.reset(address, other.address)
    this.time.after(ms, () => this.cluster.network.refuse(address, false))
  }
  refusedOnce(number: number): boolean {
    return this.refused.size > 0 && !this.refused.has(number)
  }

  private hinder(who: ReadonlyArray<number> | "all", ms: number): void {
    this.hindrances.push({ who, from: this.time.now, to: this.time.now + ms })
  }

  /** Until when one of these was frozen, or cut off from the store or from a peer, at any time since; at most until now. */
  hindered(numbers: ReadonlyArray<number>, since: number): number | undefined {
    const ends = this.hindrances
      .filter(({ to, who }) => to >= since && (who === "all" || who.some((number) => numbers.includes(number))))
      .map(({ to }) => Math.min(to, this.time.now))
    return ends.length === 0 ? undefined : Math.max(...ends)
  }

  outage(ms: number): void {
    this.log("OUTAGE", Math.round(ms))
    this.hinder("all", ms)
    this.cluster.outage()
    this.outageUntil = Math.max(this.outageUntil, this.time.now + ms)
    this.time.after(ms, () => {
      if (this.time.now < this.outageUntil) return
      this.log("STORE BACK")
      this.cluster.outageOver()
    })
  }

  /** The beginning of this stretch of time, or of what troubled the bus in it and so long before. */
  busTroubleSince(since: number, before: number): number {
    let from = since
    for (const trouble of this.busTroubles.toReversed()) {
      if (trouble.to >= from - before && trouble.from - before < from) from = trouble.from - before
    }
    return from
  }

  busDown(ms: number): void {
    this.busTroubles.push({ from: this.time.now, to: this.time.now + ms })
    this.log("BUS DOWN", Math.round(ms))
    this.cluster.bus.down = true
    this.time.after(ms, () => {
      this.cluster.bus.down = false
    })
  }

  /** A batch takes the bus that long, for a while. */
  busSlow(ms: number, during: number): void {
    this.busTroubles.push({ from: this.time.now, to: this.time.now + during })
    this.log("BUS SLOW", ms, Math.round(during))
    this.cluster.bus.delay = () => (this.healing ? 0 : ms)
    this.time.after(during, () => {
      this.cluster.bus.delay = () => 0
    })
  }

  /** Frames come faster than they are taken, on this socket. */
  flood(socket: MemorySocket, ms: number): void {
    this.log("FLOOD", whose(socket).id, Math.round(ms))
    const until = this.time.now + ms
    this.feed.flood(socket, () => !this.healing && this.time.now < until)
  }

  /** For a while the weather is another one. */
  during(change: Partial<Weather>, ms: number): void {
    this.log("WEATHER", JSON.stringify(change))
    const before = this.weather
    this.weather = { ...before, ...change }
    this.time.after(ms, () => {
      const back = Object.fromEntries(
        Object.keys(change).map((name) => [name, before[name as keyof Weather]])
      ) as Partial<Weather>
      this.weather = { ...this.weather, ...back }
    })
  }

  heal(): void {
    this.log("HEAL")
    this.healing = true
    for (const { number } of this.living) this.thaw(number)
    for (const { address } of this.living) this.cluster.network.refuse(address, false)
    this.cluster.heal()
  }

  // ------------------------------------------------------------ callers

  idOf(key: string): string {
    return uuidv8FromRequest(key)
  }

  /** By the key that makes the id; its id. */
  connect(number: number, key: string, more: Readonly<Record<string, unknown>> = {}): string {
    const id = uuidv8FromRequest(key)
    const operation = this.check.callers.begin("connect", id)
    this.log("connect", key, id, "at", number)
    this.keys.add(id)
    const request = {
      url: "ws://feed.test/",
      headers: { "x-connection": "${connection:id}", "x-epoch": "${connection:epoch}" },
      buffer: { maxFrames: FRAME_LIMIT, maxBytes: BYTE_LIMIT, overflow: overflowOf(key) },
      reconnect: { baseDelayMs: 500, maxDelayMs: 4_000 },
      topic: "frames",
      requestId: key,
      ...more
    }
    this.call(
      number,
      (manager) => manager.connect(request),
      (ok, failure) => this.check.callers.end(operation, ok ? "ok" : isUnknown(failure) ? "unknown" : "refused")
    )
    this.time.after(8_000, () => this.check.callers.end(operation, "unknown"))
    return id
  }

  /** Ids that were asked for. */
  get known(): ReadonlyArray<string> {
    return [...this.keys]
  }

  disconnect(number: number, id: string): void {
    const operation = this.check.callers.begin("disconnect", id)
    this.log("disconnect", id, "at", number)
    this.call(
      number,
      (manager) => manager.disconnect({ id }),
      (ok) => this.check.callers.end(operation, ok ? "ok" : "unknown")
    )
    this.time.after(8_000, () => this.check.callers.end(operation, "unknown"))
  }

  migrate(number: number, id: string, target?: string): void {
    this.log("migrate", id, "at", number, "to", target ?? "anyone")
    this.call(
      number,
      (manager) => manager.migrate({ id, ...(target !== undefined && { targetInstanceId: target }) }),
      (ok, failure) => this.log("answer migrate", id, ok ? "ok" : failure)
    )
  }

  rebalance(number: number): void {
    this.log("rebalance at", number)
    this.call(
      number,
      (manager) => manager.rebalance({}),
      (ok, failure) => this.log("rebalanced", ok ? "ok" : failure)
    )
  }

  private call<A>(
    number: number,
    body: (manager: Manager) => Effect.Effect<A, ManagerError>,
    done: (ok: boolean, failure?: string) => void
  ): void {
    this.time.run(
      Effect.map(Effect.exit(this.cluster.run(number, body)), (exit) =>
        Exit.isSuccess(exit) ? done(true) : done(false, String(exit.cause))
      )
    )
  }

  // ------------------------------------------------------------ what judges ask

  /** The frames that the server sent longer ago than that. */
  sentOn(socket: MemorySocket, ms: number): ReadonlyArray<string> {
    return this.feed.before(socket, ms)
  }

  /** What a gauge shows, the sum of it, or of the lines with this label. */
  gauge(number: number, name: string, label?: string): number {
    const context = this.instance(number).context()
    if (context === undefined) return 0
    const family = Context.get(context, Metrics)
      .collect()
      .find((f) => f.name.endsWith(`_${name}`))
    let sum = 0
    for (const { labels, value } of family?.samples ?? []) {
      if (typeof value === "number" && (label === undefined || labels.some(([, v]) => v === label))) sum += value
    }
    return sum
  }

  /** Whether this instance may act now. */
  holdsLease(number: number): boolean {
    const context = this.instance(number).context()
    return context !== undefined && Context.get(context, Lease).life().valid()
  }

  /** The present life of this instance; undefined: it has none. */
  incarnation(number: number): string | undefined {
    const context = this.instance(number).context()
    return context === undefined ? undefined : Context.get(context, Lease).life().incarnation
  }

  /** Whether this instance knew of that life. */
  knows(number: number, incarnation: string): boolean {
    const context = this.instance(number).context()
    if (context === undefined) return false
    return Context.unsafeGet(context, Membership)
      .members()
      .some((member) => member.incarnation === incarnation)
  }

  /** Who owns it by the record; undefined where there is none or its owner is not there any more. */
  ownerOf(id: string): number | undefined {
    const record = this.rows().get(`websocketmanager/connections/${id}`)
    const number = this.check.numberOf(record?.["incarnation"])
    return number === undefined || this.instance(number).process.dead ? undefined : number
  }

  private onOpen(socket: MemorySocket): void {
    this.log("  socket open", socket.instance, socket.target.headers["x-connection"], socket.target.headers["x-epoch"])
    this.check.opened(socket)
    this.feed.begin(socket)
  }

  /** Runs on, and looks. */
  go(ms: number): void {
    this.time.runUntil(this.time.now + ms)
    this.check.always()
  }
}

/** The same for the same key, whoever asks. */
const overflowOf = (key: string): "OVERFLOW_DROP_OLDEST" | "OVERFLOW_DROP_NEWEST" | "OVERFLOW_PAUSE" => {
  const last = key.charCodeAt(key.length - 1) % 4
  return last === 0 ? "OVERFLOW_DROP_OLDEST" : last === 1 ? "OVERFLOW_DROP_NEWEST" : "OVERFLOW_PAUSE"
}

const isUnknown = (failure: string | undefined): boolean => failure?.includes("unknown") ?? false
const brief = (value: Json): string =>
  ["status", "owner", "incarnation", "epoch", "tombstone", "handover", "sealed", "ids", "reason", "by"]
    .filter((field) => value[field] !== undefined)
    .map((field) => `${field}=${JSON.stringify(value[field])}`)
    .join(" ")
