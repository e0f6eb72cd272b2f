/**
 * Several managers in one process, on one store, one bus and one network in memory, any of which can fail. It is for the
 * tests of programs that embed the manager.
 *
 * ```ts
 * import { TestCluster } from "websocketmanager/testing"
 *
 * const program = Effect.gen(function* () {
 * const cluster = yield* TestCluster.make({ instances: 3 })
 * yield* cluster.joined
 * const { id } = yield* cluster.run(0, (manager) => manager.connect({ url: "ws://feed.example/" }))
 * cluster.crash(0)
 * yield* cluster.until(() => [...cluster.sockets.open].some(({ instance }) => instance !== 0))
 * }).pipe(Effect.scoped)
 * ```
 *
 * Its time is that of the fiber which makes it. Under a TestClock nothing moves unless the test adjusts the clock. It has
 * to do so in steps of at most 100 ms: a longer one wakes them all too late. Sockets are in memory too (`sockets`), unless
 * `client`
 * says otherwise; with the real one use real time. Closing the scope ends every instance at once, as `crash` does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as MemoryState from "../adapters/embedded/MemoryState.js"
import * as ManagerLayer from "../app/ManagerLayer.js"
import { Settings } from "../config/Settings.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import { ConnectionManager } from "../manager/ConnectionManager.js"
import { ProcessIdentity } from "../membership/ProcessIdentity.js"
import { StateStore } from "../ports/StateStore.js"
import type { ClientWrapper } from "../socket/ClientWrapper.js"
import { Bus } from "./Bus.js"
import * as FaultyStore from "./FaultyStore.js"
import { Crashed, drained, type Instance, type Manager, Member, type StartOptions } from "./Member.js"
import { MemorySockets, type MemorySocketsOptions } from "./MemorySockets.js"
import { PeerNetwork } from "./PeerNetwork.js"
import * as TestRuntime from "./TestRuntime.js"

export type { Published } from "./Bus.js"
export type { TestRuntime as Ground } from "./TestRuntime.js"
export { Crashed, type Host, type Instance, type StartOptions } from "./Member.js"
export type { MemorySocket, MemorySocketsOptions } from "./MemorySockets.js"
export { PeerNetwork, type PeerNetworkOptions } from "./PeerNetwork.js"
export type { SimulatedProcess as Process, ProcessOptions } from "./SimulatedProcess.js"
export type { Fate, StoreCall } from "./FaultyStore.js"

type Store = StateStore["Type"]

/** What a cluster begins with; all may be left out. */
export interface TestClusterOptions {
  /** how many are started at once; default 0 */
  readonly instances?: number
  /** of every instance; `instanceId` and `advertiseAddress` are the cluster's to say */
  readonly settings?: Partial<SettingsShape>
  /** In place of the store in memory; all instances share it. */
  readonly store?: Store
  /** How the servers in memory behave. */
  readonly sockets?: MemorySocketsOptions
  /** How sockets are dialled, in place of those in memory: `ClientWrapper.layer()` has real ones. */
  readonly client?: Layer.Layer<ClientWrapper, never, Settings>
  /** how long an instance waits for the store, milliseconds; default 1000 */
  readonly storeDeadlineMs?: number
  /** What becomes of each call to the store, where nothing of this cluster's own says so; default: done at once. */
  readonly fate?: (instance: number, call: FaultyStore.StoreCall) => FaultyStore.Fate
  /** clock and scheduler of its own; default those of the maker */
  readonly ground?: TestRuntime.TestRuntime
}

/** The instances, and all that can happen to them. */
export class TestCluster {
  /** every one that was started, dead ones included, by number */
  readonly instances: Array<Instance> = []
  /** between the instances */
  readonly network: PeerNetwork
  /** what they published */
  readonly bus: Bus
  /** the servers that they dial */
  readonly sockets: MemorySockets

  private readonly running: Array<Member> = []
  private readonly cuts = new Set<number>()
  private away = false

  private constructor(
    private readonly ground: TestRuntime.TestRuntime,
    private readonly store: Store,
    /** of the store in memory, for judges; empty where another one is used */
    readonly backend: MemoryState.MemoryBackend,
    private readonly options: TestClusterOptions
  ) {
    this.network = new PeerNetwork()
    this.bus = new Bus(ground)
    this.sockets = new MemorySockets(ground, options.sockets)
  }

  /** A cluster, and its first instances on their way. */
  static make(options: TestClusterOptions = {}): Effect.Effect<TestCluster, never, Scope.Scope> {
    return Effect.gen(function* () {
      const ground = options.ground ?? (yield* TestRuntime.make)
      const backend = new MemoryState.MemoryBackend()
      const store = options.store ?? Context.get(yield* Layer.build(MemoryState.layer(backend)), StateStore)
      const cluster = new TestCluster(ground, store, backend, options)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => cluster.running.forEach(({ number }) => cluster.crash(number)))
      )
      for (let i = 0; i < (options.instances ?? 0); i++) cluster.start()
      return cluster
    })
  }

  // ------------------------------------------------------------ processes

  /** Starts one more; its number. It joins by itself: wait for `ready`. */
  start(options: StartOptions = {}): number {
    const member = new Member(this.running.length, this.ground, options)
    const { address, id, number, process } = member
    this.running.push(member)
    this.instances.push(member)
    const manager = ManagerLayer.layer({
      settings: {
        logLevel: "none",
        egress: "any",
        ...this.options.settings,
        ...options.settings,
        instanceId: id,
        advertiseAddress: address
      },
      stateStore: Layer.succeed(StateStore, this.link(member)),
      pubSub: this.bus.layer(number, process),
      peers: this.network.layer(address),
      client:
        this.options.client === undefined
          ? this.sockets.layer(number, process)
          : member.client.layer(this.options.client),
      processIdentity: Layer.succeed(ProcessIdentity, this.identity(member))
    })
    member.start(this.network.serving(address).pipe(Layer.provideMerge(manager)))
    return number
  }

  /** As SIGTERM: gives everything away while its peers can still speak to it, and ends. */
  stop(number: number): Effect.Effect<void, Crashed> {
    const instance = this.of(number)
    return Effect.zipRight(
      instance.within(Effect.zipRight(drained(instance), instance.close)),
      Effect.sync(() => this.crash(number))
    )
  }

  /** As SIGKILL: nothing of it runs any more, its sockets close, its port refuses. */
  crash(number: number): void {
    const instance = this.of(number)
    if (instance.process.dead) return
    instance.kill()
    const same = this.running.some(({ address, process }) => address === instance.address && !process.dead)
    if (!same) this.network.crash(instance.address)
    this.sockets.died(number)
  }

  /** As SIGSTOP; `suspended`: as a machine that sleeps, its monotonic clock stands still. */
  freeze(number: number, suspended = false): void {
    const { address, process } = this.of(number)
    if (process.dead) return
    process.freeze(suspended)
    this.network.freeze(address)
  }

  /** As SIGCONT. */
  thaw(number: number): void {
    const { address, process } = this.of(number)
    if (process.dead) return
    process.thaw()
    this.network.thaw(address)
  }

  // ------------------------------------------------------------ faults

  /** This instance alone does not reach the store, nor the store it. */
  cutFromStore(number: number): void {
    this.cuts.add(number)
  }

  /** These two do not reach each other. */
  cutFromPeers(a: number, b: number): void {
    this.network.cut(this.of(a).address, this.of(b).address)
  }

  /** The store is there for this instance again. */
  reconnectToStore(number: number): void {
    this.cuts.delete(number)
  }

  /** The store is away for all. */
  outage(): void {
    this.away = true
  }

  /** The store is back for all but those cut from it. */
  outageOver(): void {
    this.away = false
  }

  /** Undoes every fault: one instance's, or all of them. What crashed stays so. */
  heal(number?: number): void {
    if (number !== undefined) {
      this.reconnectToStore(number)
      this.thaw(number)
      return
    }
    this.outageOver()
    this.bus.down = false
    this.bus.delay = () => 0
    this.cuts.clear()
    this.network.heal()
    for (const { number: n } of this.running) this.thaw(n)
  }

  /** Whether the store and this instance reach each other now. */
  reaches(number: number): boolean {
    return !this.away && !this.cuts.has(number)
  }

  // ------------------------------------------------------------ what they do

  /** The service of an instance that was built. What is called on it runs in the caller's fiber; see `run`. */
  manager(number: number): Manager {
    const context = this.of(number).context()
    if (context === undefined) throw new Crashed(number)
    return Context.get(context, ConnectionManager)
  }

  /** Runs inside the instance: by its clock, stopped with it, failed with `Crashed` when it dies. */
  run<A, E>(
    number: number,
    body: (manager: Manager) => Effect.Effect<A, E, ManagerLayer.Provided>
  ): Effect.Effect<A, E | Crashed | ManagerLayer.StartError> {
    const instance = this.of(number)
    return instance.within(
      Effect.flatMap(instance.whenBuilt, (context) =>
        Effect.provide(body(Context.get(context, ConnectionManager)), context)
      )
    )
  }

  /** Whether the instance takes work now. */
  isReady(number: number): boolean {
    const { context, process } = this.of(number)
    const built = context()
    return !process.dead && built !== undefined && Effect.runSync(Effect.provide(ManagerLayer.ready, built))
  }

  /** Waits until every instance that lives takes work. */
  get joined(): Effect.Effect<void> {
    return this.until(() => this.running.every(({ number, process }) => process.dead || this.isReady(number)))
  }

  /** Waits for a condition, by the cluster's clock. */
  until(condition: () => boolean): Effect.Effect<void> {
    const pause = Effect.async<void>((resume) => void this.ground.after(20, () => resume(Effect.void)))
    return Effect.suspend(() => (condition() ? Effect.void : Effect.zipRight(pause, this.until(condition))))
  }

  // ------------------------------------------------------------

  private of(number: number): Member {
    const instance = this.running[number]
    if (instance === undefined) throw new RangeError(`there is no instance ${number}`)
    return instance
  }

  private link({ number, process }: Member): Store {
    const { fate } = this.options
    return FaultyStore.make({
      ground: this.ground,
      inner: this.store,
      deadlineMs: this.options.storeDeadlineMs ?? 1_000,
      reachable: () => this.reaches(number),
      fate: (call) => {
        if (process.dead) return {}
        if (fate !== undefined) return fate(number, call)
        return this.reaches(number) ? { arrives: 0, answers: 0 } : {}
      }
    })
  }

  /** Told by the cluster, as the kernel of one host would: whether the process of a record still runs. */
  private identity(me: Member): ProcessIdentity["Type"] {
    return {
      ...me.host,
      pid: me.number + 1,
      processStart: String(me.number),
      isGone: ({ bootId, pid, pidNamespace }) => {
        const other = this.running[pid - 1]
        return bootId === me.host.bootId && pidNamespace === me.host.pidNamespace && other?.process.dead === true
      }
    }
  }
}
