/**
 * Every operation of the contract under its name on the wire. It makes a call of the manager from a decoded request, and
 * the message that goes out from the answer. The same two tables stand behind every door.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as M from "../domain/Messages.js"
import type { ErrorOf, Nothing, Shown, StreamMethod, StreamTypes, UnaryMethod, UnaryTypes } from "../domain/Methods.js"
import type { ConnectionManager } from "./ConnectionManager.js"

type Manager = ConnectionManager["Type"]

/** A stream that has begun: what comes from now on is delivered, or counted in a later `missed`. */
export type Opened<K extends StreamMethod, Refused = never> = Effect.Effect<
  Stream.Stream<StreamTypes[K][1], ErrorOf<K>>,
  ErrorOf<K> | Refused,
  Scope.Scope
>

const EMPTY_ANSWER: Nothing = {}
const nothing = Effect.as(EMPTY_ANSWER)
const shown = Effect.map((connection: M.Connection): Shown => ({ connection }))

export const unary: {
  readonly [K in UnaryMethod]: (
    manager: Manager,
    request: UnaryTypes[K][0]
  ) => Effect.Effect<UnaryTypes[K][1], ErrorOf<K>>
} = {
  Connect: (manager, request) => manager.connect(request),
  Disconnect: (manager, request) => nothing(manager.disconnect(request)),
  Reconnect: (manager, { id }) => shown(manager.reconnect(id)),
  Get: (manager, { id }) => shown(manager.get(id)),
  List: (manager, request) => manager.list(request),
  StartPublish: (manager, request) => shown(manager.startPublish(request)),
  StopPublish: (manager, { id }) => shown(manager.stopPublish(id)),
  Send: (manager, request) => manager.send(request),
  SendRaw: (manager, request) => nothing(manager.sendRaw(request)),
  SetTag: (manager, { id, key, value }) => nothing(manager.setTag(id, key, value)),
  GetTag: (manager, { id, key }) => Effect.map(manager.getTag(id, key), (value) => ({ value })),
  SetTags: (manager, { id, tags }) => nothing(manager.setTags(id, tags ?? {})),
  GetTags: (manager, { id }) => Effect.map(manager.getTags(id), (tags) => ({ tags })),
  DeleteTag: (manager, { id, key }) => nothing(manager.deleteTag(id, key)),
  ListInstances: (manager) => Effect.map(manager.listInstances, (instances) => ({ instances })),
  Migrate: (manager, request) => shown(manager.migrate(request)),
  Drain: (manager, request) => manager.drain(request),
  Rebalance: (manager, request) => manager.rebalance(request)
}

export const streaming: {
  readonly [K in StreamMethod]: (manager: Manager, request: StreamTypes[K][0]) => Opened<K>
} = {
  Receive: (manager, { id }) => manager.receive(id),
  Subscribe: (manager, { topic }) => manager.subscribe(topic),
  Watch: (manager, request) => manager.watch(request)
}
