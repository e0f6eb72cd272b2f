/** A whole manager in this process, on memory, for tests that talk to real sockets. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as ManagerLayer from "../../src/app/ManagerLayer.js"
import type { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { WatchResponse } from "../../src/domain/Messages.js"
import { ConnectionManager } from "../../src/manager/ConnectionManager.js"
import { PubSub, type TopicEvent } from "../../src/ports/PubSub.js"
import type { StateStore } from "../../src/ports/StateStore.js"
import type { ClientWrapper } from "../../src/socket/ClientWrapper.js"
import type { PeerNetwork } from "./PeerNetwork.js"

type Service = ConnectionManager["Type"]

export interface TestManagerOptions {
  readonly settings?: Partial<SettingsShape>
  readonly stateStore?: Layer.Layer<StateStore>
  readonly pubSub?: Layer.Layer<PubSub>
  readonly client?: Layer.Layer<ClientWrapper, never, Settings>
  /** It speaks with others through this network, and answers there at its advertised address. */
  readonly network?: PeerNetwork
  /** What the manager says for people, from info on, is added here; not kept unless told. */
  readonly log?: Array<TestLogLine>
}

export interface TestLogLine {
  /** INFO, WARN, ERROR, FATAL */
  readonly level: string
  readonly text: string
}

const QUIET: Partial<SettingsShape> = { dataDir: "", logLevel: "none", egress: "any", dialRatePerHost: 10_000 }

const keptIn = (log: Array<TestLogLine>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      const parts = Array.isArray(message) ? message : [message]
      log.push({ level: logLevel.label, text: parts.map(String).join(" ") })
    })
  )

export class TestManager {
  readonly events: Array<WatchResponse> = []
  private readonly scope = Effect.runSync(Scope.make())
  private constructor(
    readonly runtime: ManagedRuntime.ManagedRuntime<ManagerLayer.Provided, unknown>,
    readonly service: Service
  ) {}

  static async start({ network, ...options }: TestManagerOptions = {}): Promise<TestManager> {
    const settings = { ...QUIET, ...options.settings }
    const address = settings.advertiseAddress ?? ""
    const alone = ManagerLayer.layer({ ...options, settings })
    const among =
      network === undefined
        ? alone
        : Layer.provideMerge(
            network.serving(address),
            ManagerLayer.layer({ ...options, settings, peers: network.layer(address) })
          )
    const runtime = ManagedRuntime.make(
      Layer.provideMerge(among, options.log === undefined ? Logger.minimumLogLevel(LogLevel.None) : keptIn(options.log))
    ) as ManagedRuntime.ManagedRuntime<ManagerLayer.Provided, unknown>
    const manager = new TestManager(runtime, await runtime.runPromise(ConnectionManager))
    await manager.collect(manager.service.watch({}), (event) => manager.events.push(event))
    await manager.until(() => manager.runtime.runSync(ManagerLayer.ready), "the manager is ready")
    return manager
  }

  run<A, E>(effect: Effect.Effect<A, E, ManagerLayer.Provided>): Promise<A> {
    return this.runtime.runPromise(effect)
  }

  /** The tag of the error that the call must end with. */
  async refused<A, E extends { readonly _tag: string }>(
    effect: Effect.Effect<A, E, ManagerLayer.Provided>
  ): Promise<E> {
    return this.runtime.runPromise(Effect.flip(effect)) as Promise<E>
  }

  /** Reads a stream into a callback until the manager is stopped. */
  async collect<A, E>(
    open: Effect.Effect<Stream.Stream<A, E>, E, Scope.Scope>,
    each: (item: A) => void
  ): Promise<() => Promise<void>> {
    const stream = await this.runtime.runPromise(Scope.extend(open, this.scope))
    const fiber = this.runtime.runFork(Stream.runForEach(stream, (item) => Effect.sync(() => each(item))))
    return () => this.runtime.runPromise(Effect.asVoid(Fiber.interrupt(fiber)))
  }

  /** Every event of a topic of the bus, from now on. */
  async topic(name: string): Promise<Array<TopicEvent>> {
    const got: Array<TopicEvent> = []
    const subscription = await this.runtime.runPromise(
      Effect.flatMap(PubSub, (bus) => Scope.extend(bus.subscribe(name), this.scope))
    )
    this.runtime.runFork(Effect.forever(Effect.map(subscription.take, ({ events }) => void got.push(...events))))
    return got
  }

  /** The types of the events of one connection so far, in order. */
  types(id: string): ReadonlyArray<string> {
    return this.events.filter((event) => event.connectionId === id).map((event) => event.type)
  }

  async until(condition: () => boolean, what = "the condition", timeoutMs = 8000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`${what} did not come true in ${timeoutMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** Waits for an event of a connection; `n` counts from 1. */
  async event(id: string, type: string, n = 1): Promise<WatchResponse> {
    const found = () => this.events.filter((event) => event.connectionId === id && event.type === type)[n - 1]
    await this.until(() => found() !== undefined, `event ${type} ${n}`)
    return found()!
  }

  /** As SIGTERM does it: drained, everything closed. */
  async stop(): Promise<void> {
    await Effect.runPromise(Scope.close(this.scope, Exit.void))
    await this.runtime.dispose()
  }
}
