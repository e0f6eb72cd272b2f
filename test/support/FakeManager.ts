/**
 * A manager for tests of doors: it echoes, produces, hangs and fails as the id says, and records what reached it.
 *
 * id `error:<Tag>` fails with the sample of that tag, `defect` dies, `hang` never answers; anything else is a connection.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { CONNECTED } from "../../src/domain/ConnectionStatus.js"
import * as E from "../../src/domain/Errors.js"
import type * as M from "../../src/domain/Messages.js"
import { ConnectionManager } from "../../src/manager/ConnectionManager.js"

/** One of each error, every field set. */
export const SAMPLE_ERRORS: { readonly [Tag in E.ErrorTag]: Extract<E.ManagerError, { _tag: Tag }> } = {
  InvalidRequest: new E.InvalidRequest({ field: "url", reason: "the scheme is ws or wss, 日本" }),
  Unauthenticated: new E.Unauthenticated(),
  PermissionDenied: new E.PermissionDenied({ reason: "not allowed" }),
  TargetForbidden: new E.TargetForbidden({ host: "10.0.0.1", reason: "private address" }),
  ConnectionNotFound: new E.ConnectionNotFound({ id: "gone" }),
  ConnectionNotOpen: new E.ConnectionNotOpen({ id: "shut", status: "failed" }),
  DialFailed: new E.DialFailed({ kind: "http", httpStatus: 503, reason: "Service Unavailable" }),
  SendTimeout: new E.SendTimeout({ id: "slow" }),
  SendAborted: new E.SendAborted({ id: "cut", sent: "unknown" }),
  NoTarget: new E.NoTarget({ id: "alone", target: "other" }),
  NotAvailable: new E.NotAvailable({ feature: "Subscribe", reason: "subscribe at the broker" }),
  BufferFull: new E.BufferFull({ what: "the send queue" }),
  QuotaExceeded: new E.QuotaExceeded({ quota: "connections" }),
  InstanceDraining: new E.InstanceDraining({ id: "here" }),
  OwnerUnreachable: new E.OwnerUnreachable({ owner: "there", executed: "unknown" }),
  StateStoreUnavailable: new E.StateStoreUnavailable({ outcome: "unknown", reason: "timeout" }),
  PubSubUnavailable: new E.PubSubUnavailable({ outcome: "unknown", reason: "refused" })
}

export const connection = (id: string, changes: Partial<M.Connection> = {}): M.Connection => ({
  id,
  url: "wss://feed.example/数据",
  status: CONNECTED,
  topic: "prices",
  instanceId: "fake",
  contentType: "text/plain",
  tags: { région: "zürich 🚀" },
  autoReconnect: true,
  epoch: 1_800_000_000,
  createdAt: new Date(1_700_000_000_123),
  connectedAt: new Date(1_700_000_001_000),
  lastFrameAt: undefined,
  framesReceived: 9_007_199_254_740_991,
  framesPublished: 2,
  framesDropped: 3,
  framesSent: 4,
  reconnectAttempts: 5,
  lastError: "",
  lastCloseCode: 1006,
  ...changes
})

export const instance: M.Instance = {
  id: "fake",
  incarnation: "0190",
  status: "INSTANCE_STATUS_ALIVE",
  address: "http://127.0.0.1:1",
  connections: 1,
  startedAt: new Date(1_700_000_000_000),
  lastSeenAt: new Date(1_700_000_000_000)
}

const frame = (sequence: number, size: number, missed = 0): M.ReceiveResponse => ({
  data: Buffer.alloc(size, sequence % 251),
  contentType: "application/octet-stream",
  epoch: 1,
  sequence,
  receivedAt: new Date(1_700_000_000_000 + sequence),
  missed
})

/** `instead`: what of it is another one for this test. */
export const make = (instead: Partial<ConnectionManager["Type"]> = {}) => {
  const log = {
    /** ids of calls and streams that ended by interruption */
    interrupted: [] as Array<string>,
    /** calls of `hang` that began */
    hanging: 0,
    /** streams that are open now */
    open: 0,
    /** frames that were pulled out of streams */
    produced: 0,
    connects: [] as Array<unknown>,
    tags: new Map<string, Record<string, string>>()
  }

  /** Any error from any operation, as an owner of another version may answer: none by its type. */
  const judged = (id: string): Effect.Effect<void> => {
    if (id.startsWith("error:")) return Effect.fail(SAMPLE_ERRORS[id.slice("error:".length) as E.ErrorTag] as never)
    if (id === "defect") return Effect.die(new Error("a secret in a defect"))
    if (id === "hang") {
      return Effect.zipRight(
        Effect.sync(() => (log.hanging += 1)),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.interrupted.push(id)))
      )
    }
    return Effect.void
  }
  const shown = (id: string) => Effect.as(judged(id), connection(id))
  const tagsOf = (id: string) => log.tags.get(id) ?? {}

  /** Frames of `size` bytes in chunks of `per`, as fast as they are pulled, `count` of them. */
  const frames = (count: number, size: number, per: number) =>
    Stream.unfoldChunk(1, (next) => {
      if (next > count) return Option.none()
      const last = Math.min(count, next + per - 1)
      log.produced += last - next + 1
      return Option.some([
        Chunk.fromIterable(
          Array.from({ length: last - next + 1 }, (_, i) => frame(next + i, size, next + i === 2 ? 7 : 0))
        ),
        last + 1
      ] as const)
    })

  /** `frames:<count>:<size>:<per chunk>`, `quiet` (never an item), or an error once the stream has begun: `late:<Tag>`. */
  const stream = (id: string): Stream.Stream<M.ReceiveResponse> => {
    const [kind, ...rest] = id.split(":")
    if (kind === "frames") return frames(Number(rest[0]), Number(rest[1]), Number(rest[2]))
    if (kind === "late")
      return Stream.concat(Stream.make(frame(1, 1)), Stream.fail(SAMPLE_ERRORS[rest[0] as E.ErrorTag] as never))
    if (kind === "bug") return Stream.concat(Stream.make(frame(1, 1)), Stream.die(new Error("a secret in a defect")))
    return Stream.never
  }

  const opened = <A>(id: string, items: Stream.Stream<A>) =>
    Effect.gen(function* () {
      yield* judged(id)
      yield* Effect.acquireRelease(
        Effect.sync(() => (log.open += 1)),
        () =>
          Effect.sync(() => {
            log.open -= 1
            log.interrupted.push(`stream:${id}`)
          })
      )
      return items
    })

  const manager: ConnectionManager["Type"] = {
    connect: (request) =>
      Effect.sync(() => {
        log.connects.push(request)
        return { id: "made", status: CONNECTED, connection: connection("made", { url: request.url }) }
      }),
    disconnect: ({ id }) => judged(id),
    reconnect: shown,
    get: shown,
    list: ({ pageSize, pageToken }) =>
      Effect.succeed({
        connections: Array.from({ length: pageSize ?? 1 }, (_, i) => connection(`c${i}`)),
        nextPageToken: pageToken ?? ""
      }),
    startPublish: ({ id, topic }) => Effect.as(judged(id), connection(id, { topic })),
    stopPublish: (id) => Effect.as(judged(id), connection(id, { topic: "" })),
    send: ({ contentType, id, message }) =>
      Effect.as(judged(id), { response: message, contentType: contentType ?? "text/plain" }),
    sendRaw: ({ id }) => judged(id),
    receive: (id) => opened(id, stream(id)),
    subscribe: (topic) =>
      opened(
        topic,
        Stream.map(stream(topic), ({ data, missed }) => ({ event: data, missed }))
      ),
    setTag: (id, key, value) =>
      Effect.zipRight(
        judged(id),
        Effect.sync(() => log.tags.set(id, { ...tagsOf(id), [key]: value }))
      ),
    getTag: (id, key) => Effect.map(judged(id), () => tagsOf(id)[key]),
    setTags: (id, tags) =>
      Effect.zipRight(
        judged(id),
        Effect.sync(() => log.tags.set(id, { ...tags }))
      ),
    getTags: (id) => Effect.map(judged(id), () => tagsOf(id)),
    deleteTag: (id, key) =>
      Effect.zipRight(
        judged(id),
        Effect.sync(() => {
          const { [key]: _, ...rest } = tagsOf(id)
          log.tags.set(id, rest)
        })
      ),
    watch: ({ ids }) =>
      opened(
        "watch",
        (ids === undefined ? Stream.never : Stream.fromIterable(ids)).pipe(
          Stream.map((connectionId) => ({
            type: "connected",
            connectionId,
            instanceId: "fake",
            time: new Date(1_700_000_000_000),
            attributes: { attempt: "1" },
            missed: 0
          }))
        )
      ),
    listInstances: Effect.succeed([instance]),
    migrate: ({ id }) => shown(id),
    drain: () => Effect.succeed({ migrated: 0, closed: 1, abandoned: 2 }),
    rebalance: () => Effect.succeed({ moved: 0, failed: 0, connections: { fake: 1 } }),
    ...instead
  }
  return { manager, log, layer: Layer.succeed(ConnectionManager, manager) }
}
