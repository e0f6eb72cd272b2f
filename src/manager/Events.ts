/**
 * The one stream of lifecycle events: the log, the Watch readers and the lifecycle topic all read it.
 *
 * Emitting is synchronous, so that events of one connection keep the order in which things happened.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as List from "effect/List"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import { uuidv7 } from "../common/Uuid.js"
import { LifecycleEvent, type LifecycleName } from "../domain/ConnectionEvent.js"
import { InstanceId } from "../membership/InstanceId.js"
import { Publisher } from "../messaging/Publisher.js"
import * as ReaderBuffer from "../messaging/ReaderBuffer.js"

/** The subject of an event, with what a Watch filters by. */
export interface EventSubject {
  readonly id: string
  readonly epoch: number
  readonly tags: () => Readonly<Record<string, string>>
}

export type EventFilter = (event: LifecycleEvent, subject: EventSubject | undefined) => boolean

/** What a reader's buffer counts for an event beside its attributes. */
const EVENT_OVERHEAD_BYTES = 256

export class Events extends Context.Tag("websocketmanager/manager/Events")<
  Events,
  {
    /** `said`: what the line of the log says beyond the attributes, which are the contract's. */
    readonly emit: (
      name: LifecycleName,
      subject: EventSubject | undefined,
      attributes?: Readonly<Record<string, string>>,
      said?: Readonly<Record<string, string>>
    ) => void
    /** Every event from now on that the filter lets through, until the scope closes. */
    readonly watch: (
      filter: EventFilter
    ) => Effect.Effect<ReaderBuffer.ReaderBuffer<LifecycleEvent>, never, Scope.Scope>
    /** Ends every reader. */
    readonly end: Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.effect(
    Events,
    Effect.gen(function* () {
      const { id: instanceId } = yield* InstanceId
      const publisher = yield* Publisher
      const clock = yield* Effect.clock
      const log = yield* makeEventLog
      const readers = new Map<ReaderBuffer.ReaderBuffer<LifecycleEvent>, EventFilter>()

      const emit: Events["Type"]["emit"] = (name, subject, attributes = {}, said = {}) => {
        const now = clock.unsafeCurrentTimeMillis()
        const event = new LifecycleEvent(
          name,
          subject?.id ?? "",
          instanceId,
          subject?.epoch ?? 0,
          now,
          attributes,
          uuidv7(now)
        )
        log(event, said)
        publisher.announce(event)
        for (const [reader, filter] of readers) {
          if (filter(event, subject)) reader.offer(event, sizeOf(event))
        }
      }

      return {
        emit,
        watch: (filter) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const reader = ReaderBuffer.make<LifecycleEvent>()
              readers.set(reader, filter)
              return reader
            }),
            (reader) =>
              Effect.sync(() => {
                readers.delete(reader)
                reader.end()
              })
          ),
        end: Effect.sync(() => readers.forEach((_, reader) => reader.end()))
      }
    })
  )
}

const sizeOf = (event: LifecycleEvent): number => {
  let bytes = EVENT_OVERHEAD_BYTES
  for (const key in event.attributes) bytes += key.length + event.attributes[key]!.length
  return bytes
}

// ------------------------------------------------------------ the log

// Lifecycle events as lines of the log: written where they are emitted, without a fiber for each.

type EventLog = (event: LifecycleEvent, said: Readonly<Record<string, string>>) => void

/** To the loggers, and from the level, of the fiber that runs this. */
const makeEventLog: Effect.Effect<EventLog> = Effect.map(Effect.getFiberRefs, (context) => {
  const lowest = FiberRefs.getOrDefault(context, FiberRef.currentMinimumLogLevel)
  const loggers = FiberRefs.getOrDefault(context, FiberRef.currentLoggers)
  const inherited = FiberRefs.getOrDefault(context, FiberRef.currentLogAnnotations)
  return (event, said) => {
    const logLevel = LEVELS[event.name] ?? LogLevel.Info
    if (LogLevel.lessThan(logLevel, lowest)) return
    const { message, ...attributes } = event.attributes
    const about = event.connectionId === "" ? {} : { connection: event.connectionId, epoch: event.epoch }
    // the entry has a message of its own: the name
    const detail = message === undefined ? {} : { detail: message }
    const annotations = HashMap.union(
      inherited,
      HashMap.fromIterable(Object.entries({ ...about, ...attributes, ...said, ...detail }))
    )
    const entry = {
      fiberId: FiberId.none,
      logLevel,
      message: [event.name],
      cause: Cause.empty,
      context,
      spans: List.empty(),
      annotations,
      date: new Date(event.time)
    }
    for (const logger of loggers) logger.log(entry)
  }
})

const LEVELS: Partial<Record<LifecycleName, LogLevel.LogLevel>> = {
  connecting: LogLevel.Debug,
  error: LogLevel.Warning,
  gap: LogLevel.Warning,
  "instance-dead": LogLevel.Warning,
  failed: LogLevel.Error
}
