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
import type * as M from "../domain/Messages.js"
import type { ErrorOf, StreamMethod, UnaryMethod } from "../domain/Methods.js"
import type { ConnectRequest } from "../domain/Spec.js"

/** Fails as the method of this name; an owner of a newer version may fail with another `ManagerError`. */
type Answer<K extends UnaryMethod, A> = Effect.Effect<A, ErrorOf<K>>
/** The outer effect answers at once (or refuses); from then on every item is delivered or counted in a later `missed`. */
type Streamed<K extends StreamMethod, A> = Effect.Effect<Stream.Stream<A, ErrorOf<K>>, ErrorOf<K>, Scope.Scope>

/** The service: every operation of the contract, whichever instance owns the connection it is about. */
export class ConnectionManager extends Context.Tag("websocketmanager/manager/ConnectionManager")<
  ConnectionManager,
  {
    /**
     * Makes a connection, or finds again the one of its `requestId`, and keeps it from then on.
     *
     * Answers when the socket is open and the login done, or at once with `awaitOpen` off. `DialFailed` and `TargetForbidden`
     * say that the first dial failed while the caller waited: nothing is kept then. A call that is interrupted keeps its
     * connection only under a `requestId`.
     */
    readonly connect: (request: ConnectRequest) => Answer<"Connect", M.ConnectResponse>
    /**
     * Closes the socket, and removes the connection for good. What waits for the topic is still published.
     *
     * Answers when the record is a tombstone. `StateStoreUnavailable` with `outcome: "unknown"`: the socket is closed, and the
     * removal goes on.
     */
    readonly disconnect: (request: M.DisconnectRequest) => Answer<"Disconnect", void>
    /**
     * Closes an open socket with 1000 or the connection's `leaveCode`, sets the attempts to 0, and dials at once, also from
     * FAILED and DISCONNECTED.
     *
     * Answers when it is open. `DialFailed`: this dial failed; the connection stays, and is dialled on.
     */
    readonly reconnect: (id: string) => Answer<"Reconnect", M.Connection>
    /** Shows one connection of the fleet. Where its owner does not answer within a second, as its record has it. */
    readonly get: (id: string) => Answer<"Get", M.Connection>
    /**
     * One page of the fleet's connections that meet all conditions. An instance that does not answer within a second is listed
     * from its records.
     */
    readonly list: (request: M.ListRequest) => Answer<"List", M.ListResponse>
    /**
     * Frames that come from now on go to this topic; what waits for the topic before is still published there. Answers when the
     * record says so.
     */
    readonly startPublish: (request: M.StartPublishRequest) => Answer<"StartPublish", M.Connection>
    /** Frames that come from now on go nowhere; what waits is still published. Answers when the record says so. */
    readonly stopPublish: (id: string) => Answer<"StopPublish", M.Connection>
    /**
     * Sends one message, and waits for its reply.
     *
     * Answers with the reply. `SendTimeout`: none came in time, and the message may have been received. `SendAborted`: the
     * socket or its owner went away first; `sent` says whether repeating is safe. `BufferFull`: too much waits for this socket.
     */
    readonly send: (request: M.SendRequest) => Answer<"Send", M.SendResponse>
    /** Sends one message without a reply. Answers once the socket took it. */
    readonly sendRaw: (request: M.SendRawRequest) => Answer<"SendRaw", void>
    /**
     * The frames of one connection, live and in order, at whichever instance. A slow reader loses the oldest, counted in
     * `missed`; it never holds up the connection.
     */
    readonly receive: (id: string) => Streamed<"Receive", M.ReceiveResponse>
    /**
     * The events of a topic of the embedded bus, as they are published at this instance. With Dapr `NotAvailable`: subscribe at
     * the broker.
     */
    readonly subscribe: (topic: string) => Streamed<"Subscribe", M.SubscribeResponse>
    /** Sets one tag; at most 50 a connection. Answers when the record says so. */
    readonly setTag: (id: string, key: string, value: string) => Answer<"SetTag", void>
    /** The value of one tag; undefined where there is none. */
    readonly getTag: (id: string, key: string) => Answer<"GetTag", string | undefined>
    /** Sets all tags of a connection in place of those there are. Answers when the record says so. */
    readonly setTags: (id: string, tags: Readonly<Record<string, string>>) => Answer<"SetTags", void>
    /** All tags of a connection. */
    readonly getTags: (id: string) => Answer<"GetTags", Readonly<Record<string, string>>>
    /** Deletes one tag; one that is not there is deleted too. Answers when the record says so. */
    readonly deleteTag: (id: string, key: string) => Answer<"DeleteTag", void>
    /**
     * Lifecycle events of the whole fleet, as they happen. After a broken link to an instance the next event has at least 1 in
     * `missed`.
     */
    readonly watch: (request: M.WatchRequest) => Streamed<"Watch", M.WatchResponse>
    /** All instances of the fleet as this one judges them, ended ones too for an hour. */
    readonly listInstances: Answer<"ListInstances", ReadonlyArray<M.Instance>>
    /**
     * Hands one connection to another instance, with an overlap where its `handover` says so.
     *
     * Answers when the target owns it, or with the connection as it stays here. `NoTarget`: there is no live instance to take it.
     */
    readonly migrate: (request: M.MigrateRequest) => Answer<"Migrate", M.Connection>
    /**
     * This instance gives everything away, and takes no more work: it stays, `left` and not ready, until its process is ended.
     *
     * Answers when the connections are moved, closed or released, after `timeoutMs` at most.
     */
    readonly drain: (request: M.DrainRequest) => Answer<"Drain", M.DrainResponse>
    /**
     * Moves connections until the live instances have about as many each. Answers with what was moved, or would be in a dry
     * run.
     */
    readonly rebalance: (request: M.RebalanceRequest) => Answer<"Rebalance", M.RebalanceResponse>
  }
>() {}
