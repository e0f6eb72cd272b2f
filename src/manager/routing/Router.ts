/** Every operation at any instance: what is another's goes to its owner, what is asked of the fleet is asked of all. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { uuidv8FromRequest } from "../../common/Uuid.js"
import type { ManagerError, OwnerUnreachable, StateStoreUnavailable } from "../../domain/Errors.js"
import type { Connection, ConnectResponse } from "../../domain/Messages.js"
import type { ErrorOf, Shown, StreamMethod, StreamTypes, UnaryMethod, UnaryTypes } from "../../domain/Methods.js"
import type { ConnectRequest } from "../../domain/Spec.js"
import { checkId } from "../../domain/validation/Validate.js"
import type { Peer, PeerFailure } from "../../ports/Peers.js"
import type { ConnectionManager } from "../ConnectionManager.js"
import * as FleetList from "./FleetList.js"
import * as FleetWatch from "./FleetWatch.js"
import { type AtOwner, atOwner, notExecuted, ownersStream, type RoutingContext, whileAlive } from "./Forward.js"
import * as ForwardSend from "./ForwardSend.js"

type Manager = ConnectionManager["Type"]

/** A stream of the owner's, with its types. */
type Passed<K extends StreamMethod> = Effect.Effect<
  Stream.Stream<StreamTypes[K][1], ErrorOf<K> | PeerFailure>,
  ErrorOf<K> | PeerFailure,
  Scope.Scope
>

export const make = (reach: RoutingContext): Manager => {
  const { local, peers } = reach
  const here = local.operations

  /** What is no id, the operation refuses in its own words. */
  const byId = <A, E extends ManagerError, R>(
    id: string,
    call: AtOwner<A, E, R>
  ): Effect.Effect<A, E | OwnerUnreachable | StateStoreUnavailable, R> =>
    Effect.suspend(() => {
      const canonical = checkId(id)
      return Either.isLeft(canonical) ? call.here : atOwner(reach, canonical.right, call)
    })

  const passOn = <K extends UnaryMethod>(owner: Peer, method: K, request: UnaryTypes[K][0]) =>
    whileAlive(reach, owner, peers.call(owner.address, method, request)) as Effect.Effect<
      UnaryTypes[K][1],
      ErrorOf<K> | PeerFailure
    >
  const nothing = <K extends UnaryMethod>(
    id: string,
    call: Effect.Effect<void, ErrorOf<K>>,
    method: K,
    request: UnaryTypes[K][0]
  ) => byId(id, { here: call, there: (owner) => Effect.asVoid(passOn(owner, method, request)) })
  const shown = <K extends "Reconnect" | "StartPublish" | "StopPublish" | "Migrate">(
    id: string,
    call: Effect.Effect<Connection, ErrorOf<K>>,
    method: K,
    request: UnaryTypes[K][0]
  ) =>
    byId(id, {
      here: call,
      there: (owner) => Effect.map(passOn(owner, method, request), ({ connection }: Shown) => connection)
    })

  /**
   * A request_id whose connection is another's: its owner is asked, or it is claimed from one that has ended. What keeps this
   * instance from making a new one does not matter where there is one already.
   */
  const connect = (request: ConnectRequest): Effect.Effect<ConnectResponse, ErrorOf<"Connect">> =>
    Effect.catchAll(here.connect(request), (error) => {
      const { requestId = "" } = request
      const elsewhere = notExecuted(error) || error._tag === "QuotaExceeded" || error._tag === "InstanceDraining"
      if (requestId === "" || !elsewhere) return Effect.fail(error)
      return atOwner(reach, uuidv8FromRequest(requestId), {
        here: notExecuted(error) ? here.connect(request) : Effect.fail(error),
        there: (owner) => passOn(owner, "Connect", request),
        // the same key makes nothing a second time
        readOnly: true,
        claims: true
      })
    })

  return {
    ...here,
    connect,
    disconnect: (request) => nothing(request.id, here.disconnect(request), "Disconnect", request),
    reconnect: (id) => shown(id, here.reconnect(id), "Reconnect", { id }),
    get: (id) => FleetList.get(reach, id),
    list: (request) => FleetList.list(reach, request),
    startPublish: (request) => shown(request.id, here.startPublish(request), "StartPublish", request),
    stopPublish: (id) => shown(id, here.stopPublish(id), "StopPublish", { id }),
    send: (request) =>
      byId(request.id, {
        here: here.send(request),
        there: (owner) => ForwardSend.send(reach, owner, request.id.toLowerCase(), request),
        patienceMs: ForwardSend.timeoutOf(request)
      }),
    sendRaw: (request) => nothing(request.id, here.sendRaw(request), "SendRaw", request),
    receive: (id) =>
      byId(id, {
        here: here.receive(id),
        there: (owner) =>
          Effect.map(
            whileAlive(reach, owner, peers.open(owner.address, "Receive", { id })) as Passed<"Receive">,
            (frames) => ownersStream(reach, owner, frames)
          ),
        readOnly: true
      }),
    setTag: (id, key, value) => nothing(id, here.setTag(id, key, value), "SetTag", { id, key, value }),
    setTags: (id, tags) => nothing(id, here.setTags(id, tags), "SetTags", { id, tags }),
    deleteTag: (id, key) => nothing(id, here.deleteTag(id, key), "DeleteTag", { id, key }),
    watch: (request) => FleetWatch.watch(reach, request),
    migrate: (request) => shown(request.id, here.migrate(request), "Migrate", request)
  }
}
