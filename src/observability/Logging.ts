/**
 * The log: pretty for people or one JSON object a line for programs, always on standard error, so that what a command
 * prints stays clean. Installed by the process alone; a program that composes the manager keeps its own logger.
 */
import { inspect } from "node:util"
import * as Cause from "effect/Cause"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as List from "effect/List"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import type { SettingsShape } from "../config/SettingsShape.js"
import { redactUrlsIn } from "../domain/secrets/Redact.js"

const LEVELS: Readonly<Record<SettingsShape["logLevel"], LogLevel.LogLevel>> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None
}

export interface LogOutput {
  /** Takes one or more whole lines. */
  readonly write: (text: string) => void
  readonly colour: boolean
}

/** Replaces the default logger. */
export const layer = (
  settings: Pick<SettingsShape, "logFormat" | "logLevel">,
  output: LogOutput
): Layer.Layer<never> => {
  const format = settings.logFormat === "json" ? json : pretty(output.colour)
  const lowest = LEVELS[settings.logLevel]
  const logger = Logger.make<unknown, void>((entry) => {
    const told = isRefusal(entry) ? { ...entry, logLevel: LogLevel.Debug } : entry
    if (LogLevel.greaterThanEqual(told.logLevel, lowest)) output.write(`${format(told)}\n`)
  })
  return Layer.merge(Logger.replace(Logger.defaultLogger, logger), Logger.minimumLogLevel(lowest))
}

/** What Effect says of a fiber that ended by a failure. */
const UNHANDLED = "Fiber terminated with an unhandled error"

/**
 * Whether the failure is typed, and a caller waits for it: then a call was refused. An unforeseen failure is a defect, and
 * no refusal.
 */
const isRefusal = ({ cause, message }: Entry): boolean =>
  (Array.isArray(message) ? message[0] : message) === UNHANDLED && !Cause.isDie(cause)

type Entry = Logger.Logger.Options<unknown>

/** What an entry says of itself; an annotation of the same name does not take its place. */
const OWN = new Set(["timestamp", "level", "message"])

/** `timestamp`, `level`, `message`, then the annotations; `cause` where there is one, `spans` with their milliseconds. */
const json = (entry: Entry): string => {
  const annotations = [...HashMap.entries(entry.annotations)].filter(([key]) => !OWN.has(key))
  const spans = List.toArray(entry.spans).map((span) => [span.label, entry.date.getTime() - span.startTime] as const)
  return JSON.stringify({
    timestamp: entry.date.toISOString(),
    level: entry.logLevel.label,
    message: message(entry),
    ...Object.fromEntries(annotations.map(([key, value]) => [key, plain(value)])),
    ...(Cause.isEmpty(entry.cause) ? {} : { cause: causeOf(entry) }),
    ...(spans.length === 0 ? {} : { spans: Object.fromEntries(spans) })
  })
}

const COLOURS: Readonly<Record<string, string>> = { ERROR: "31", FATAL: "31", WARN: "33", DEBUG: "90", TRACE: "90" }

/** `12:00:00.000 INFO  message key=value`; a cause on the lines below. */
const pretty =
  (colour: boolean) =>
  (entry: Entry): string => {
    const paint = (code: string | undefined, text: string) =>
      colour && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text
    const { label } = entry.logLevel
    const annotations = [...HashMap.entries(entry.annotations)].map(
      ([key, value]) => ` ${paint("36", key)}=${oneLine(shown(value))}`
    )
    const cause = Cause.isEmpty(entry.cause) ? "" : `\n${causeOf(entry).split("\n").map(oneLine).join("\n")}`
    const time = paint("90", entry.date.toISOString().slice(11, 23))
    return `${time} ${paint(COLOURS[label], label.padEnd(5))} ${oneLine(message(entry))}${annotations.join("")}${cause}`
  }

/** Errors of clients say the URL they asked, with whatever stands in it. */
const causeOf = (entry: Entry): string => redactUrlsIn(Cause.pretty(entry.cause, { renderErrorCause: true }))

const message = (entry: Entry): string =>
  (Array.isArray(entry.message) ? entry.message : [entry.message]).map(shown).join(" ")

/** A value for JSON: numbers and booleans as they are, the rest as text. */
const plain = (value: unknown): unknown =>
  typeof value === "number" || typeof value === "boolean" || value === null ? value : shown(value)

const shown = (value: unknown): string => {
  if (typeof value === "string") return value
  if (Redacted.isRedacted(value)) return "***"
  if (value instanceof Error) return redactUrlsIn(`${value.name}: ${value.message}`)
  return inspect(value, { depth: 4, breakLength: Infinity })
}

/** What a peer sent may stand in a message: it never begins a line of its own, nor moves the cursor. */
const oneLine = (text: string): string =>
  text.replace(/[\p{Cc}\u2028\u2029]/gu, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, "0")}`)
