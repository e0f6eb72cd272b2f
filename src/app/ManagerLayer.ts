/**
 * The manager as one layer, for this process and for any other Effect program: settings, rooms and a backing put together.
 *
 * Each of the three ports can be replaced by a layer of one's own; what is not replaced comes from the backing.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { hostname } from "node:os"
import * as NoPeers from "../adapters/peers/NoPeers.js"
import { fromOptions, type SettingsError } from "../config/Load.js"
import { Settings } from "../config/Settings.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import type { ConnectionManager } from "../manager/ConnectionManager.js"
import { DrainHooks } from "../manager/DrainHooks.js"
import { Events } from "../manager/Events.js"
import { CurrentPhase, Health } from "../manager/Health.js"
import * as ManagerLive from "../manager/ManagerLive.js"
import * as PeerService from "../manager/routing/PeerService.js"
import * as InstanceId from "../membership/InstanceId.js"
import type { Lease } from "../membership/lease/Lease.js"
import { Membership } from "../membership/Membership.js"
import { ProcessIdentity } from "../membership/ProcessIdentity.js"
import * as Publisher from "../messaging/Publisher.js"
import { Essentials } from "../observability/Essentials.js"
import { EventLoopLag } from "../observability/EventLoopLag.js"
import { Metrics } from "../observability/Metrics.js"
import { Overload } from "../observability/Overload.js"
import { ConnectionStore } from "../ownership/ConnectionStore.js"
import type { Peers, PeerService as PeerDeskTag } from "../ports/Peers.js"
import { PubSub } from "../ports/PubSub.js"
import { Secrets } from "../ports/Secrets.js"
import { StateStore } from "../ports/StateStore.js"
import type { ClientWrapper } from "../socket/ClientWrapper.js"
import * as SessionsLive from "../socket/SessionsLive.js"
import { counted } from "../state/CountedStore.js"
import * as Backing from "./Backing.js"

/** What a program that embeds the manager may say; every field may be left out. */
export interface Options<E = never, R = never> {
  /** as WSM_BACKING: where state and events are kept unless the layers below say otherwise; default embedded */
  readonly backing?: SettingsShape["backing"]
  /** what is left out has its default (README.md, Settings) */
  readonly settings?: Partial<SettingsShape>
  /** Where records are kept, in place of the backing's store. */
  readonly stateStore?: Layer.Layer<StateStore, E, R>
  /** Where frames and events go, in place of the backing's bus. */
  readonly pubSub?: Layer.Layer<PubSub, E, R>
  /** Where secrets come from, in place of files and variables. */
  readonly secrets?: Layer.Layer<Secrets, E, R>
  /** How this instance speaks to the others. An instance without doors speaks to none, unless this is given. */
  readonly peers?: Layer.Layer<Peers, E, R>
  /** How sockets are dialled, in place of `ws`. */
  readonly client?: Layer.Layer<ClientWrapper, never, Settings>
  /** What the kernel knows of this process, for instances that only play one. */
  readonly processIdentity?: Layer.Layer<ProcessIdentity>
  /** Variables that `secret:NAME` and the address may come from; a program that composes the manager hands in its own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** What is measured and watched over, where a door that is there before the manager needs it too. */
  readonly watch?: Layer.Layer<Essentials | Metrics>
  /** Tracing and export, started before everything that makes spans. */
  readonly telemetry?: Layer.Layer<never, E, Metrics>
  /** The HTTP port really bound, when this instance listens; 0 when it has no doors. */
  readonly boundPort?: number
}

/** What the layer gives: the service, what doors need beside it, and the ports it works with. */
export type Provided =
  | ConnectionManager
  | DrainHooks
  | Health
  | Metrics
  | Essentials
  | Overload
  | Settings
  | InstanceId.InstanceId
  | Lease
  | EventLoopLag
  | StateStore
  | PubSub
  | Peers
  | PeerDeskTag

/** Why a manager did not start: a setting that is refused, or a backing that cannot be used. */
export type StartError = SettingsError | Backing.BackingFailure

/**
 * A running manager. Building it opens the store and starts joining; it answers at once, and takes work when it has joined.
 * Closing its scope gives everything away (Drain).
 */
export const layer = <E = never, R = never>(options: Options<E, R> = {}): Layer.Layer<Provided, StartError | E, R> =>
  Layer.unwrapEffect(Effect.map(settingsOf(options), (settings) => assemble(settings, options)))

/** Metrics, and the watch over the fibers that the instance needs to work. */
export const watch: Layer.Layer<Essentials | Metrics> = Layer.provideMerge(Essentials.layer, Metrics.layer)

/** The settings that are in force for these options, checked. */
export const settingsOf = <E, R>(options: Options<E, R>): Effect.Effect<SettingsShape, SettingsError> =>
  Effect.suspend(() => {
    const { backing, env, settings = {} } = options
    return fromOptions(backing === undefined ? settings : { ...settings, backing }, env)
  })

/** The instance's identity by these settings, once its listener is bound. A random id is a new one each time. */
export const identityOf = <E, R>(settings: SettingsShape, options: Options<E, R>): InstanceId.Identity =>
  InstanceId.make(settings, {
    hostName: hostname(),
    boundPort: options.boundPort ?? 0,
    podIp: options.env?.["POD_IP"] ?? ""
  })

const assemble = <E, R>(settings: SettingsShape, options: Options<E, R>) => {
  const env = options.env ?? {}
  const identity = identityOf(settings, options)
  const ground = Layer.mergeAll(
    Layer.succeed(Settings, settings),
    Layer.succeed(InstanceId.InstanceId, identity),
    Layer.provideMerge(Overload.layer, options.watch ?? watch),
    options.processIdentity ?? ProcessIdentity.layer,
    CurrentPhase.layer,
    DrainHooks.layer
  )
  const backing = Backing.make(settings, env, {
    stateStore: options.stateStore === undefined,
    pubSub: options.pubSub === undefined,
    secrets: options.secrets === undefined
  })
  const store: Layer.Layer<StateStore, StartError | E, R> = options.stateStore ?? backing.stateStore
  const ports = Layer.mergeAll(
    Layer.effect(StateStore, countedStore).pipe(Layer.provide(store), Layer.provide(ground)),
    options.pubSub ?? backing.pubSub,
    options.secrets ?? backing.secrets,
    backing.dependencies,
    options.peers ?? NoPeers.layer
  )
  // the dial budget is the fleet's
  const sessions = Layer.unwrapEffect(
    Effect.map(Membership, ({ dialShare }) => SessionsLive.layerLive(dialShare, options.client))
  )
  const rooms = Layer.mergeAll(Events.layer, sessions, Health.layer, EventLoopLag.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(ConnectionStore.layer, Publisher.layer)),
    Layer.provideMerge(Membership.layer)
  )
  const telemetry: Layer.Layer<never, E, Metrics> = options.telemetry ?? Layer.empty
  const whole = PeerService.layer.pipe(
    Layer.provideMerge(ManagerLive.layer),
    Layer.provideMerge(rooms),
    Layer.provideMerge(ports),
    Layer.provideMerge(telemetry),
    Layer.provideMerge(ground)
  )
  // A layer that is handed in may need what the ground has: then it gets that, and R shrinks, which its type cannot say.
  return whole as Layer.Layer<Provided, StartError | E, R>
}

/** Every store's operations are counted in one place, whichever layer made the store. */
const countedStore = Effect.zipWith(StateStore, Metrics, (store, metrics) =>
  counted(store, (operation, outcome) => metrics.stateOperations(operation, outcome).add(1))
)

/** Whether the manager takes work: it has joined, and is neither draining nor fenced. */
export const ready: Effect.Effect<boolean, never, Health> = Effect.map(Health, (health) => health.ready())
