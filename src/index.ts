/**
 * The public surface: a namespace per module.
 *
 * `ManagerLayer` and `ServerLayer` put everything together; the ports are what a program of one's own may replace; the rest
 * is what those layers are made of. The typed client of a running manager is at `websocketmanager/client` too, which loads
 * nothing else.
 */
export * as ManagerLayer from "./app/ManagerLayer.js"
export * as ServerLayer from "./app/ServerLayer.js"
export * as Client from "./rpc/Client.js"
export * as ManagerRpcs from "./rpc/ManagerRpcs.js"

export * as ConnectionManager from "./manager/ConnectionManager.js"
export * as Health from "./manager/Health.js"
export * as DrainHooks from "./manager/DrainHooks.js"

export * as StateStore from "./ports/StateStore.js"
export * as PubSub from "./ports/PubSub.js"
export * as Secrets from "./ports/Secrets.js"
export * as Peers from "./ports/Peers.js"

export * as FileState from "./adapters/embedded/FileState.js"
export * as MemoryState from "./adapters/embedded/MemoryState.js"
export * as MemoryPubSub from "./adapters/embedded/MemoryPubSub.js"
export * as LocalSecrets from "./adapters/secrets/LocalSecrets.js"
export * as Sidecar from "./adapters/dapr/Sidecar.js"
export * as DaprState from "./adapters/dapr/DaprState.js"
export * as DaprPubSub from "./adapters/dapr/DaprPubSub.js"
export * as DaprSecrets from "./adapters/dapr/DaprSecrets.js"
export * as RpcPeers from "./adapters/peers/RpcPeers.js"
export * as PeerProof from "./rpc/PeerProof.js"
export * as NoPeers from "./adapters/peers/NoPeers.js"

export * as Settings from "./config/Settings.js"
export * as Config from "./config/Load.js"
export * as Metrics from "./observability/Metrics.js"
export * as Prometheus from "./observability/Prometheus.js"

/** The consumer's rule for readers of a topic; alone at `websocketmanager/acceptInOrder`, which loads nothing else. */
export { acceptInOrder } from "./domain/AcceptInOrder.js"
export * as AcceptInOrder from "./domain/AcceptInOrder.js"
export * as CloudEvent from "./domain/CloudEvent.js"
export * as ConnectionEvent from "./domain/ConnectionEvent.js"
export * as Errors from "./domain/Errors.js"
export * as Frame from "./domain/Frame.js"
export * as Messages from "./domain/Messages.js"
export * as Spec from "./domain/Spec.js"

export * as InstanceId from "./membership/InstanceId.js"
export * as Lease from "./membership/lease/Lease.js"
export * as Membership from "./membership/Membership.js"
export * as ConnectionStore from "./ownership/ConnectionStore.js"
export * as Publisher from "./messaging/Publisher.js"
export * as ClientWrapper from "./socket/ClientWrapper.js"
export * as Sessions from "./socket/SessionsLive.js"
