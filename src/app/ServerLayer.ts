/**
 * The manager with its doors: HTTP (RPC, health, metrics) and gRPC, as one layer.
 *
 * The HTTP port is bound first and closed last, so that a refused dial tells peers that nothing of this process acts any more.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcPeers from "../adapters/peers/RpcPeers.js"
import * as GrpcServer from "../api/grpc/GrpcServer.js"
import * as HttpListener from "../api/http/HttpListener.js"
import * as HttpServer from "../api/http/HttpServer.js"
import * as KeepAliveLoop from "../api/http/KeepAliveLoop.js"
import * as PeerRoute from "../api/http/PeerRoute.js"
import * as PeerDoor from "../api/rpc/PeerDoor.js"
import type { Refusals } from "../api/rpc/Refusals.js"
import * as RpcDoor from "../api/rpc/RpcDoor.js"
import { Settings } from "../config/Settings.js"
import { ConnectionManager } from "../manager/ConnectionManager.js"
import * as StreamQuota from "../manager/StreamQuota.js"
import { InstanceId } from "../membership/InstanceId.js"
import { PeerCredential } from "../rpc/PeerProof.js"
import * as ManagerLayer from "./ManagerLayer.js"
import * as PeerKeys from "./PeerKeys.js"

/** What the layer gives beside the manager: where its doors really listen. */
export type Provided = ManagerLayer.Provided | HttpListener.HttpListener | Refusals | GrpcServer.GrpcListener

/** Why a server did not start: as for the manager, or a port that cannot be bound. */
export type StartError = ManagerLayer.StartError | HttpListener.ListenFailed | GrpcServer.GrpcListenFailed

/** Every door over a manager whose listener is bound. */
export const doors = Layer.unwrapEffect(
  Effect.map(InstanceId, ({ address }) =>
    Layer.mergeAll(
      HttpServer.layer({ advertised: address }),
      GrpcServer.layer,
      PeerDoor.serving,
      KeepAliveLoop.layer
    ).pipe(Layer.provideMerge(RpcDoor.layer), Layer.provide(StreamQuota.layer))
  )
)

/**
 * Everything is given away while the doors are still open. Readiness says so, callers can still disconnect what the drain
 * waits for, and readers get what is published last.
 */
const drainedFirst = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { drainMode, drainTimeout } = yield* Settings
    const { drain } = yield* ConnectionManager
    const mode = drainMode === "wait" ? "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE" : "DRAIN_MODE_MIGRATE_CONNECTIONS"
    // 0 would be the request's default
    const timeoutMs = Math.max(1, Math.ceil(Duration.toMillis(drainTimeout)))
    yield* Effect.addFinalizer(() => Effect.ignoreLogged(drain({ mode, timeoutMs })))
  })
)

/** A running manager that listens on the ports of its settings; 0 is any free one. */
export const layer = <E = never, R = never>(
  options: ManagerLayer.Options<E, R> = {}
): Layer.Layer<Provided, StartError | E, R> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const settings = yield* ManagerLayer.settingsOf(options)
      const given = Layer.succeed(Settings, settings)
      const bound = yield* Layer.build(
        HttpListener.peerLayer.pipe(Layer.provideMerge(HttpListener.layer), Layer.provide(given))
      )
      const { port } = yield* Effect.provide(HttpListener.PeerListener, bound)
      const { address, id } = ManagerLayer.identityOf(settings, { ...options, boundPort: port })
      const watch = Layer.succeedContext(yield* Layer.build(options.watch ?? ManagerLayer.watch))
      // an id that is chosen at random is chosen once
      const there = { ...options, settings: { ...options.settings, instanceId: id }, boundPort: port, watch }
      const keys = yield* PeerKeys.of(settings, settings.backing === "embedded" && options.stateStore === undefined)
      const credential = Layer.succeed(PeerCredential, { keys, self: { id, address } })
      const peerDoor = yield* Layer.build(
        PeerRoute.layer.pipe(
          Layer.provideMerge(PeerDoor.layer),
          Layer.provide(Layer.merge(credential, watch)),
          Layer.provide(Layer.succeedContext(bound))
        )
      )
      const peers = options.peers ?? Layer.provide(RpcPeers.layer, Layer.merge(given, credential))
      return drainedFirst.pipe(
        Layer.provideMerge(doors),
        Layer.provide(Layer.succeedContext(peerDoor)),
        Layer.provideMerge(ManagerLayer.layer<E, R>({ ...there, peers })),
        Layer.provideMerge(Layer.succeedContext(bound))
      )
    })
  )
