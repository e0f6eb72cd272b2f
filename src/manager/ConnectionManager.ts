/**
 * The service: every operation of the contract, behind every door. Doors decode, call here, encode.
 *
 * Started after the lease is held and the store is open; stopped by giving everything away (Drain) before the lease is
 * laid down.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ManagerError } from "../domain/Errors.js"
import type * as M from "../domain/Messages.js"
import type { ConnectRequest } from "../domain/Spec.js"

type Answer<A> = Effect.Effect<A, ManagerError>
/** The outer effect answers at once (or refuses); from then on every item is delivered or counted in a later `missed`. */
type Streamed<A> = Effect.Effect<Stream.Stream<A, ManagerError>, ManagerError, Scope.Scope>

export class ConnectionManager extends Context.Tag("websocketmanager/manager/ConnectionManager")<
  ConnectionManager,
  {
    readonly connect: (request: ConnectRequest) => Answer<M.ConnectResponse>
    readonly disconnect: (request: M.DisconnectRequest) => Answer<void>
    readonly reconnect: (id: string) => Answer<M.Connection>
    readonly get: (id: string) => Answer<M.Connection>
    readonly list: (request: M.ListRequest) => Answer<M.ListResponse>
    readonly startPublish: (request: M.StartPublishRequest) => Answer<M.Connection>
    readonly stopPublish: (id: string) => Answer<M.Connection>
    readonly send: (request: M.SendRequest) => Answer<M.SendResponse>
    readonly sendRaw: (request: M.SendRawRequest) => Answer<void>
    readonly receive: (id: string) => Streamed<M.ReceiveResponse>
    readonly subscribe: (topic: string) => Streamed<M.SubscribeResponse>
    readonly setTag: (id: string, key: string, value: string) => Answer<void>
    readonly getTag: (id: string, key: string) => Answer<string | undefined>
    readonly setTags: (id: string, tags: Readonly<Record<string, string>>) => Answer<void>
    readonly getTags: (id: string) => Answer<Readonly<Record<string, string>>>
    readonly deleteTag: (id: string, key: string) => Answer<void>
    readonly watch: (request: M.WatchRequest) => Streamed<M.WatchResponse>
    readonly listInstances: Answer<ReadonlyArray<M.Instance>>
    readonly migrate: (request: M.MigrateRequest) => Answer<M.Connection>
    readonly drain: (request: M.DrainRequest) => Answer<M.DrainResponse>
    readonly rebalance: (request: M.RebalanceRequest) => Answer<M.RebalanceResponse>
  }
>() {}
