/** One process of a cluster with its manager inside: how it is started, and what it means to run in it. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Scope from "effect/Scope"
import type * as ManagerLayer from "../app/ManagerLayer.js"
import { Settings } from "../config/Settings.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import { ConnectionManager } from "../manager/ConnectionManager.js"
import { ProcessClient } from "./ProcessClient.js"
import { type ProcessOptions, SimulatedProcess } from "./SimulatedProcess.js"
import type { TestRuntime } from "./TestRuntime.js"

/** Which machine, and which container on it: a restart in the same one knows that the former process is gone. */
export interface Host {
  /** of the machine since it was started */
  readonly bootId: string
  /** of the container */
  readonly pidNamespace: string
}

/** How one instance is started; all may be left out. */
export interface StartOptions extends ProcessOptions {
  /** default `instance-<number>`; two may have the same, as after a restart */
  readonly id?: string
  /** default one of its own; a restart may have that of the former process, once that is dead */
  readonly address?: string
  /** default one of its own */
  readonly host?: Host
  /** of this one alone, beside those of the whole cluster */
  readonly settings?: Partial<SettingsShape>
}

/** One process of the cluster, by its number; numbers are not used twice. */
export interface Instance {
  /** from 0, in the order of starting */
  readonly number: number
  /** as its peers know it */
  readonly id: string
  /** what its peers dial */
  readonly address: string
  /** where it runs */
  readonly host: Host
  /** whether it is frozen or dead */
  readonly process: SimulatedProcess
  /** what the manager gives, once it has been built */
  readonly context: () => Context.Context<ManagerLayer.Provided> | undefined
}

/** Represents an instance that was not there any more when it should have answered. */
export class Crashed extends Error {
  /** for `catchTag` */
  readonly _tag = "Crashed"
  constructor(readonly instance: number) {
    super(`instance ${instance} is gone`)
  }
}

type Built = Context.Context<ManagerLayer.Provided>
export type Manager = ConnectionManager["Type"]

export class Member implements Instance {
  readonly id: string
  readonly address: string
  readonly host: Host
  readonly process: SimulatedProcess
  readonly client: ProcessClient
  private readonly scope = Effect.runSync(Scope.make())
  private readonly built = Deferred.unsafeMake<Built, ManagerLayer.StartError>(FiberId.none)
  private readonly gone = Deferred.unsafeMake<never, Crashed>(FiberId.none)
  private given: Built | undefined

  constructor(
    readonly number: number,
    private readonly ground: TestRuntime,
    options: StartOptions
  ) {
    this.id = options.id ?? `instance-${number}`
    this.address = options.address ?? `http://instance-${number}.test:8080`
    this.host = options.host ?? { bootId: `boot-${number}`, pidNamespace: `namespace-${number}` }
    this.process = new SimulatedProcess(ground, options)
    this.client = new ProcessClient(this.process)
  }

  readonly context = (): Built | undefined => this.given

  /** Builds the manager inside. */
  start(whole: Layer.Layer<ManagerLayer.Provided, ManagerLayer.StartError>): void {
    this.inside(Layer.buildWithScope(whole, this.scope), (exit) => {
      if (Exit.isSuccess(exit)) this.given = exit.value
      Deferred.unsafeDone(this.built, exit)
    })
  }

  /** Fails once it is built in vain, or is gone. */
  get whenBuilt(): Effect.Effect<Built, ManagerLayer.StartError> {
    return Deferred.await(this.built)
  }

  get close(): Effect.Effect<void> {
    return Scope.close(this.scope, Exit.void)
  }

  /** Nothing of it runs any more; its callers hear that it has crashed. */
  kill(): void {
    this.process.kill()
    this.client.died()
    Deferred.unsafeDone(this.gone, Exit.fail(new Crashed(this.number)))
  }

  /** Runs with its clock, when it lets it run; fails when it dies. */
  within<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Crashed> {
    const answer = Effect.async<A, E | Crashed>((resume) => this.inside(effect, resume))
    return Effect.raceFirst(answer, Deferred.await(this.gone))
  }

  private inside<A, E>(effect: Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>) => void): void {
    const { clock, scheduler } = this.process
    const homed = effect.pipe(
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.withClock(clock),
      Effect.withScheduler(scheduler)
    )
    this.ground.run(Effect.withScheduler(Effect.map(Effect.exit(homed), done), scheduler))
  }
}

/** By the settings of the instance; nothing where it was not built yet. */
export const drained = ({ context }: Instance): Effect.Effect<void> =>
  Effect.suspend(() => {
    const built = context()
    if (built === undefined) return Effect.void
    const { drainMode, drainTimeout } = Context.get(built, Settings)
    const mode = drainMode === "wait" ? "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE" : "DRAIN_MODE_MIGRATE_CONNECTIONS"
    const timeoutMs = Math.max(1, Math.ceil(Duration.toMillis(drainTimeout)))
    return Effect.ignore(Context.get(built, ConnectionManager).drain({ mode, timeoutMs }))
  })
