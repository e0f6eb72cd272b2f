/** Connect, Disconnect, Reconnect: how a connection comes into this instance's hands, and how it leaves them. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { uuidv7, uuidv8FromRequest } from "../../common/Uuid.js"
import { CONNECTING, shouldBeUp } from "../../domain/ConnectionStatus.js"
import { ConnectionNotFound, DialFailed, InvalidRequest, OwnerUnreachable, QuotaExceeded } from "../../domain/Errors.js"
import type { Connection, ConnectResponse, DisconnectRequest } from "../../domain/Messages.js"
import type { ErrorOf } from "../../domain/Methods.js"
import type { ConnectRequest, ResolvedSpec } from "../../domain/Spec.js"
import type { ConnectionRecord } from "../../domain/stored/ConnectionRecord.js"
import { specHash } from "../../domain/stored/SpecHash.js"
import { onReconnect } from "../../domain/stored/Trial.js"
import { checkClose, checkConnect, type CheckedConnect } from "../../domain/validation/Validate.js"
import { partOfCall } from "../../observability/Spans.js"
import type { Owned } from "../../ownership/ConnectionStore.js"
import * as CallDeadline from "../../ports/CallDeadline.js"
import { ManagedConnection } from "../connection/ManagedConnection.js"
import { acceptsWork, checked, type ManagerContext, owned, settledHere } from "../connection/ManagerContext.js"
import { adopt, forgetUnderLife, take } from "../connection/Registry.js"
import { mayPublishTo } from "./Publish.js"

/** What is being created here now. */
export interface Creating {
  /** by the id that a request_id made: a second call with the same one waits for the first */
  readonly requested: Map<string, Deferred.Deferred<void>>
  /** not yet among the connections, and counted with them all the same */
  places: number
}

export const nothingYet = (): Creating => ({ requested: new Map(), places: 0 })

export const connect = (
  core: ManagerContext,
  creating: Creating,
  request: ConnectRequest
): Effect.Effect<ConnectResponse, ErrorOf<"Connect">> =>
  Effect.gen(function* () {
    const asked = yield* checked(checkConnect(request))
    const known = asked.requestId === undefined ? undefined : core.connections.get(uuidv8FromRequest(asked.requestId))
    if (known !== undefined) return yield* repeated(core, known, asked)
    yield* acceptsWork(core)
    yield* mayPublishTo(core, asked.topic)
    yield* core.sessions.precheck(asked.spec)
    if (asked.requestId === undefined) return yield* create(core, creating, request, asked, uuidv7(core.now()))

    const id = uuidv8FromRequest(asked.requestId)
    for (;;) {
      const other = creating.requested.get(id)
      if (other !== undefined) {
        yield* Deferred.await(other)
        continue
      }
      const local = core.connections.get(id)
      if (local !== undefined) return yield* repeated(core, local, asked)
      const done = yield* Deferred.make<void>()
      creating.requested.set(id, done)
      const release = Effect.suspend(() => {
        creating.requested.delete(id)
        return Deferred.succeed(done, undefined)
      })
      return yield* Effect.ensuring(create(core, creating, request, asked, id), release)
    }
  })

/** The request_id of a connection that is here, or is just being created here; creates nothing. */
export const connectAgain = (
  core: ManagerContext,
  creating: Creating,
  request: ConnectRequest
): Effect.Effect<ConnectResponse, ErrorOf<"Connect">> =>
  Effect.gen(function* () {
    const asked = yield* checked(checkConnect(request))
    const id = uuidv8FromRequest(asked.requestId ?? "")
    for (;;) {
      const other = creating.requested.get(id)
      if (other === undefined) break
      yield* Deferred.await(other)
    }
    return yield* repeated(core, yield* owned(core, id), asked)
  })

/** The same request_id again: the same connection, if it is the same request. */
const repeated = (core: ManagerContext, c: ManagedConnection, asked: CheckedConnect) =>
  Effect.gen(function* () {
    yield* sameRequest(c.owned.record().specHash, asked)
    if (!asked.awaitOpen || c.status !== CONNECTING) return answer(c)
    return yield* Effect.onExit(
      Effect.map(opened(c), () => answer(c)),
      (exit) => (c.unacknowledged && notOpened(exit) ? notCompleted(core, c) : Effect.void)
    )
  })

const sameRequest = (hash: string, asked: CheckedConnect) =>
  hash === specHash(asked)
    ? Effect.void
    : new InvalidRequest({ field: "requestId", reason: "the same key was used with another request" })

const create = (
  core: ManagerContext,
  creating: Creating,
  request: ConnectRequest,
  asked: CheckedConnect,
  id: string
): Effect.Effect<ConnectResponse, ErrorOf<"Connect">> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      if (asked.awaitOpen) yield* dialsInTime(core, asked.spec)
      yield* takePlace(core, creating)
      const { awaitOpen: _awaitOpen, requestId: _requestId, tags: _tags, topic: _topic, ...spec } = request
      const { tags, topic } = asked
      const keepUnknown = asked.requestId !== undefined
      const enters = Effect.gen(function* () {
        const made = yield* restore(
          core.store.create(
            { id, spec, specHash: specHash(asked), tags, topic, status: CONNECTING, createdAt: core.now() },
            // Its caller has gone: it is dialled on until it opens, and found again by its request_id.
            { keepUnknown, onLate: (late) => core.fork(begin(core, late, { ...asked, awaitOpen: false })) }
          )
        )
        return made._tag === "Exists" ? made.record : yield* begin(core, made.owned, asked)
      })
      const c = yield* Effect.ensuring(
        enters,
        Effect.sync(() => creating.places--)
      )
      if (!(c instanceof ManagedConnection)) return yield* restore(exists(core, id, c, asked))
      if (!asked.awaitOpen) return answer(c)
      return yield* Effect.onExit(restore(Effect.map(opened(c), () => answer(c))), (exit) => {
        if (Exit.isSuccess(exit)) return Effect.void
        // A call that was cancelled keeps its connection only under a request_id, by which it can be asked for again. It is
        // dialled on until it opens, unless its dial has failed just now.
        if (Exit.isInterrupted(exit) && keepUnknown && shouldBeUp(c.status)) {
          return Effect.sync(() => c.keptWithoutCaller())
        }
        return Exit.isInterrupted(exit) || notOpened(exit) ? notCompleted(core, c) : Effect.void
      })
    })
  )

/** The dial failed; not so where Disconnect or Reconnect came in between: it is theirs now. */
const notOpened = (exit: Exit.Exit<unknown, ErrorOf<"Connect">>): boolean =>
  Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error._tag !== "ConnectionNotOpen"

const notCompleted = (core: ManagerContext, c: ManagedConnection) =>
  Effect.ignoreLogged(remove(core, c, 1000, "connect was not completed"))

const begin = (core: ManagerContext, owned: Owned, asked: CheckedConnect): Effect.Effect<ManagedConnection> =>
  Effect.suspend(() => {
    const c = adopt(core, owned, asked.spec, undefined)
    c.created()
    return Effect.as(core.supervisor.start(c, { failFast: asked.awaitOpen }), c)
  })

/** The store knows the id already: this request again, whose owner is asked, or claimed from if it has ended. */
const exists = (core: ManagerContext, id: string, record: ConnectionRecord, asked: CheckedConnect) =>
  Effect.gen(function* () {
    yield* sameRequest(record.specHash, asked)
    if (record.owner === core.instanceId) yield* core.recovered
    if (!core.connections.has(id)) {
      const claimed = yield* core.store.claim(id, (late) => core.fork(take(core, late)))
      if (Option.isSome(claimed)) yield* take(core, claimed.value)
    }
    const local = core.connections.get(id)
    if (local === undefined) return yield* new OwnerUnreachable({ owner: record.owner })
    // Claimed just now: it was open under its former owner, and is kept whatever becomes of this dial.
    if (asked.awaitOpen && local.inherited !== undefined) yield* Effect.ignore(local.opening)
    return yield* repeated(core, local, asked)
  })

/** Looked at and taken in one step: calls that come together do not all find the last place free. */
const takePlace = (core: ManagerContext, creating: Creating): Effect.Effect<void, QuotaExceeded> =>
  Effect.suspend(() => {
    const taken = core.connections.size + creating.places
    if (taken >= core.settings.maxConnections) return new QuotaExceeded({ quota: "connections" })
    creating.places++
    return Effect.void
  })

/**
 * Only a call that waits for the open has a deadline for it. An instance that has just joined has no budget for two intervals:
 * that is taken for its wait.
 */
const dialsInTime = (core: ManagerContext, spec: ResolvedSpec) =>
  Effect.gen(function* () {
    const left = yield* CallDeadline.remaining
    const wait = core.sessions.budgetWait(spec.hostPort)
    const joining = 2 * Duration.toMillis(core.settings.heartbeatInterval)
    if ((wait === Infinity ? joining : wait) > left) {
      return yield* new QuotaExceeded({ quota: `dials to ${spec.hostPort}` })
    }
  })

/** Waits for its dial and login. */
const opened = (c: ManagedConnection) => c.opening.pipe(partOfCall("connection.open", { connection: c.id }))

const answer = (c: ManagedConnection): ConnectResponse => {
  const connection = c.view()
  c.acknowledged()
  return { id: c.id, status: connection.status, connection }
}

/** Socket closed, record replaced by a tombstone, id off the page; frames that wait are still published. */
const remove = (core: ManagerContext, c: ManagedConnection, code: number, reason: string) =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      core.removing.add(c.id)
      if (core.connections.get(c.id) === c) core.connections.delete(c.id)
      const closing = Effect.zipRight(
        core.supervisor.stop(c, code, reason),
        Effect.sync(() => forgetUnderLife(core, c))
      )
      yield* Effect.suspend(() => core.store.remove(c.owned, closing))
    }).pipe(Effect.ensuring(Effect.sync(() => core.removing.delete(c.id))))
  )

export const disconnect = (
  core: ManagerContext,
  request: DisconnectRequest
): Effect.Effect<void, ErrorOf<"Disconnect">> =>
  Effect.gen(function* () {
    const { code, reason } = yield* checked(checkClose(request.code, request.reason))
    const c = yield* Effect.flatMap(owned(core, request.id), (c) => settledHere(core, c))
    if (core.removing.has(c.id)) return yield* new ConnectionNotFound({ id: c.id })
    const wasOpen = c.session !== undefined
    yield* Effect.ensuring(
      remove(core, c, code, reason),
      Effect.sync(() => {
        // the code on the wire: the peer may have closed first
        core.events.emit("disconnected", c, { closecode: String(wasOpen ? c.lastCloseCode : 1006), reason })
      })
    )
  })

export const reconnect = (core: ManagerContext, id: string): Effect.Effect<Connection, ErrorOf<"Reconnect">> =>
  Effect.gen(function* () {
    const c = yield* Effect.flatMap(owned(core, id), (c) => settledHere(core, c))
    yield* acceptsWork(core)
    if (c.refused !== undefined) return yield* c.refused
    const { trial } = c.owned.record()
    if (trial !== undefined && trial.by === undefined) {
      yield* core.store.update(c.owned, { trial: onReconnect(c.owned.life.incarnation) })
    }
    core.probation.watch(c)
    yield* core.supervisor
      .restart(c)
      .pipe(
        Effect.catchTag("TargetForbidden", (e) =>
          Effect.fail(new DialFailed({ kind: "refused", reason: `${e.host}: ${e.reason}` }))
        )
      )
    return c.view()
  })
