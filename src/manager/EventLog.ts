/** Lifecycle events as lines of the log: written where they are emitted, without a fiber for each. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as HashMap from "effect/HashMap"
import * as List from "effect/List"
import * as LogLevel from "effect/LogLevel"
import type { LifecycleEvent, LifecycleName } from "../domain/ConnectionEvent.js"

type EventLog = (event: LifecycleEvent, said: Readonly<Record<string, string>>) => void

/** To the loggers, and from the level, of the fiber that runs this. */
export const make: Effect.Effect<EventLog> = Effect.map(Effect.getFiberRefs, (context) => {
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
