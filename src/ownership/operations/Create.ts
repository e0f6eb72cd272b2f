/**
 * How a connection enters the store: page first, then the record (create-if-absent), then the lease check again.
 *
 * The work goes on in the background when its caller stops waiting: an outcome is always found out. A connection that was
 * created after its caller had gone is kept when it had a request_id: another instance may have answered success. Else it
 * is ended by a tombstone.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { yieldToEventLoop } from "../../common/YieldToEventLoop.js"
import { InvalidRequest, StateStoreUnavailable } from "../../domain/Errors.js"
import {
  type ConnectionRecord,
  encodeRecord,
  isTombstone,
  nextEpoch,
  RECORD_MAX_BYTES
} from "../../domain/stored/ConnectionRecord.js"
import type { ValueTooLarge, Version } from "../../ports/StateStore.js"
import { type OwnedConnection, OwnedConnectionState } from "../records/OwnedConnection.js"
import { decode, type Found, read, write } from "../records/RecordWrites.js"
import { type PageTenure, retaining, type StoreContext } from "../records/StoreContext.js"
import { type Attempt, runDetached } from "./DetachedTask.js"
import { endByTombstone, remove, STORE_ANSWER_TIMEOUT } from "./Remove.js"

/** What a create met. `exists`: the id has a record already (a repeated request_id); nothing was written. */
export type Created =
  | { readonly _tag: "Created"; readonly owned: OwnedConnection }
  | { readonly _tag: "Exists"; readonly record: ConnectionRecord }

export type NewConnection = Pick<
  ConnectionRecord,
  "id" | "spec" | "specHash" | "tags" | "topic" | "status" | "createdAt"
>

export interface CreateOptions {
  /** It has a request_id: an outcome that is unknown at the deadline is kept, not ended by a tombstone. */
  readonly keepUnknown: boolean
  /** With `keepUnknown`: called when it was created after all, after its caller had gone. Without it, it is removed then. */
  readonly onLate?: (owned: OwnedConnection) => void
  /** The longest wait for the store; 5 seconds. */
  readonly within?: Duration.DurationInput
}

type CreateError = StateStoreUnavailable | InvalidRequest

const NOT_FOUND: Found = { stored: undefined, version: undefined }
const refused = (reason: string) => new StateStoreUnavailable({ reason })

export const create = (
  context: StoreContext,
  connection: NewConnection,
  options: CreateOptions
): Effect.Effect<Created, CreateError> =>
  Effect.gen(function* () {
    yield* checkSize(connection)
    // its turn first: the deadline is for the store, not for the others in the queue
    const landing = runDetached(context, connection.id, {
      within: options.within ?? STORE_ANSWER_TIMEOUT,
      work: (tenure, attempt) => work(context, tenure, connection, options, attempt),
      late: (exit) => unwanted(context, exit, options)
    })
    return yield* context.creates.take(landing)
  })

/** It was created, and its caller has gone. */
const unwanted = (
  context: StoreContext,
  exit: Exit.Exit<Created, CreateError>,
  { keepUnknown, onLate }: CreateOptions
): Effect.Effect<void> => {
  if (!Exit.isSuccess(exit) || exit.value._tag === "Exists") return Effect.void
  const { owned } = exit.value
  if (keepUnknown && onLate !== undefined) return Effect.sync(() => onLate(owned))
  const state = context.owned.get(owned.id)
  return state === undefined || state !== owned ? Effect.void : Effect.ignore(remove(context, state))
}

const work = (
  context: StoreContext,
  tenure: PageTenure,
  connection: NewConnection,
  options: CreateOptions,
  attempt: Attempt
): Effect.Effect<Created, CreateError> =>
  Effect.gen(function* () {
    const { id } = connection
    const { life, pages } = tenure
    yield* Deferred.await(tenure.adopted)
    // an id that a request_id made may stand there, as a record or as a tombstone; a minted one is new
    const before = options.keepUnknown ? yield* read(context, id) : NOT_FOUND
    if (before.stored !== undefined && !isTombstone(before.stored)) return exists(before.stored)

    const epoch = nextEpoch(before.stored?.epoch ?? 0, context.elapsed.now())
    return yield* Effect.gen(function* () {
      yield* pages.add(id)
      const written = yield* sendRecord(context, tenure, connection, before.version, epoch, options, attempt)
      if (written.outcome._tag === "Written") {
        // the lease check again: after it the caller opens the socket
        if (life.ended()) return yield* unknownAfterFence
        const owned = new OwnedConnectionState(life, written.record, written.outcome.version)
        context.owned.set(id, owned)
        context.pendingRemoval.settle(id)
        return { _tag: "Created", owned } satisfies Created
      }
      const { stored } = yield* decode(id, written.outcome.current)
      if (stored !== undefined && !isTombstone(stored)) return exists(stored)
      return yield* refused("it was ended while it was being created")
    }).pipe(
      Effect.tapError((error) =>
        // whatever was sent shall not land any more
        error._tag === "StateStoreUnavailable" && error.outcome === "unknown" && !options.keepUnknown
          ? Effect.forkIn(endByTombstone(context, tenure, id, epoch), context.scope)
          : Effect.void
      ),
      retaining(tenure, id),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (!context.owned.has(id) && !mayStillLand(exit)) pages.drop(id)
        })
      )
    )
  })

/** Its record was sent, with an unknown outcome: then the page must name it, for the next owner. */
const mayStillLand = (exit: Exit.Exit<Created, CreateError>): boolean =>
  Exit.isFailure(exit) &&
  Option.match(Cause.failureOption(exit.cause), {
    onNone: () => true,
    onSome: (error) => error._tag === "StateStoreUnavailable" && error.outcome === "unknown"
  })

const exists = (record: ConnectionRecord): Created => ({ _tag: "Exists", record })

const unknownAfterFence = new StateStoreUnavailable({
  outcome: "unknown",
  reason: "this instance was fenced meanwhile"
})

const sendRecord = (
  context: StoreContext,
  tenure: PageTenure,
  connection: NewConnection,
  expected: Version | undefined,
  epoch: number,
  options: CreateOptions,
  attempt: Attempt
) =>
  Effect.gen(function* () {
    yield* yieldToEventLoop
    if (attempt.left) return yield* refused("nobody waits for it any more")
    const { life } = tenure
    const record = newRecord(context, tenure, connection, epoch)
    attempt.sent = true
    const outcome = yield* write(context, life, expected, record, {
      patient: false,
      abandoned: () => life.ended() || (attempt.left && !options.keepUnknown)
    }).pipe(Effect.catchTag("ValueTooLarge", (error) => Effect.fail(tooLarge(error))))
    return { outcome, record }
  })

const newRecord = (
  context: StoreContext,
  tenure: PageTenure,
  connection: NewConnection,
  epoch: number
): ConnectionRecord => ({
  ...connection,
  ...UNUSED,
  owner: context.instanceId,
  incarnation: tenure.life.incarnation,
  epoch,
  nonce: "",
  // an instance that takes it over before its first status is written knows of this epoch, and of no frame in it
  last: { epoch, sequence: 0, at: 0 },
  trial: { by: tenure.life.incarnation, deaths: 0 }
})

const tooLarge = ({ bytes, limit }: Pick<ValueTooLarge, "bytes" | "limit">): InvalidRequest =>
  new InvalidRequest({ field: "", reason: `the connection's record has ${bytes} bytes, at most ${limit} are kept` })

/** The rest of a record takes this much at most. */
const OVERHEAD = 1024

const checkSize = (connection: NewConnection): Effect.Effect<void, InvalidRequest> =>
  Effect.suspend(() => {
    const text = encodeRecord({ ...connection, ...UNUSED, owner: "", incarnation: "", epoch: 0, nonce: "" })
    const bytes = Buffer.byteLength(text) + OVERHEAD
    return bytes > RECORD_MAX_BYTES ? tooLarge({ bytes, limit: RECORD_MAX_BYTES }) : Effect.void
  })

/** The fields that begin to tell something later. */
const UNUSED = {
  handover: undefined,
  connectedAt: undefined,
  lastFrameAt: undefined,
  lastError: "",
  lastCloseCode: 0,
  last: { epoch: 0, sequence: 0, at: 0 },
  unknown: {}
} as const
