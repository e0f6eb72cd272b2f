/** The policies of a connection, checked and with the defaults of the proto: liveness, reconnect, buffer, reply, event. */
import * as Either from "effect/Either"
import { TEXT_PLAIN } from "../Frame.js"
import { parsePath } from "../json/JsonPath.js"
import { CALLER } from "../Limits.js"
import type {
  Buffering,
  Correlation,
  Publishing,
  ReconnectPolicy,
  ResolvedBuffer,
  ResolvedCorrelation,
  ResolvedKeepAlive,
  ResolvedPublishing,
  ResolvedReconnect,
  Spec
} from "../Spec.js"
import {
  atMost,
  type Checked,
  duration,
  enumeration,
  every,
  must,
  refuse,
  sendableCode,
  text,
  uint32,
  utf8
} from "./Check.js"

export const resolveKeepAlive = (asked: Spec["keepAlive"] = {}): Checked<ResolvedKeepAlive> =>
  Either.gen(function* () {
    const intervalMs = yield* duration("keepAlive.pingIntervalMs", asked.pingIntervalMs, 20_000, INTERVAL)
    const message = present(asked.pingMessage)
    const binary = present(asked.pingBinary)
    yield* must(message === undefined || binary === undefined, "keepAlive.pingBinary", "stands beside pingMessage")
    if (message !== undefined) yield* utf8("keepAlive.pingMessage", message)
    const data = message ?? binary
    const name = message === undefined ? "keepAlive.pingBinary" : "keepAlive.pingMessage"
    yield* atMost(name, data?.length ?? 0, CALLER.TEXT_STEP_BYTES, "bytes")
    const silent = asked.disablePing === true && data === undefined
    return {
      pingIntervalMs: asked.disablePing === true ? Infinity : intervalMs,
      deadAfterMs: yield* duration(
        "keepAlive.deadAfterMs",
        asked.deadAfterMs,
        silent ? Infinity : 3 * intervalMs,
        DEAD_AFTER
      ),
      idleAfterMs: yield* duration("keepAlive.idleAfterMs", asked.idleAfterMs, Infinity, DELAY),
      ping: data === undefined ? undefined : { data, binary: binary !== undefined, intervalMs }
    }
  })

const INTERVAL = { min: CALLER.PING_INTERVAL_MS, max: CALLER.TIMEOUT_MS }
const DEAD_AFTER = { max: CALLER.DEAD_AFTER_MS }
const DELAY = { max: CALLER.DELAY_MS }
const TIMEOUT = { max: CALLER.TIMEOUT_MS }

const present = (bytes: Uint8Array | undefined): Uint8Array | undefined =>
  bytes === undefined || bytes.length === 0 ? undefined : bytes

export const resolveReconnect = (asked: ReconnectPolicy = {}): Checked<ResolvedReconnect> =>
  Either.gen(function* () {
    const baseDelayMs = yield* duration("reconnect.baseDelayMs", asked.baseDelayMs, 1000, DELAY)
    const maxDelayMs = yield* duration("reconnect.maxDelayMs", asked.maxDelayMs, 30_000, DELAY)
    yield* must(baseDelayMs <= maxDelayMs, "reconnect.baseDelayMs", `${baseDelayMs} is above maxDelayMs ${maxDelayMs}`)
    const factor = asked.factor === undefined || asked.factor === 0 ? 2 : asked.factor
    yield* must(
      Number.isFinite(factor) && factor >= 1,
      "reconnect.factor",
      `${factor} is not a finite number from 1 on`
    )
    const giveUpCodes = yield* closeCodes("reconnect.giveUpCodes", asked.giveUpCodes)
    const retryCodes = yield* closeCodes("reconnect.retryCodes", asked.retryCodes)
    yield* every(retryCodes, (code) =>
      must(!giveUpCodes.has(code), "reconnect.retryCodes", `${code} is in giveUpCodes`)
    )
    return {
      baseDelayMs,
      maxDelayMs,
      factor,
      maxAttempts: yield* uint32("reconnect.maxAttempts", asked.maxAttempts, Infinity),
      stableAfterMs: yield* duration("reconnect.stableAfterMs", asked.stableAfterMs, 10_000, DELAY),
      dialTimeoutMs: yield* duration("reconnect.dialTimeoutMs", asked.dialTimeoutMs, 10_000, TIMEOUT),
      giveUpCodes,
      retryCodes,
      leaveCode: yield* leaveCode(asked.leaveCode)
    }
  })

const leaveCode = (asked: number | undefined): Checked<number | undefined> =>
  asked === undefined || asked === 0
    ? Either.right(undefined)
    : Either.map(sendableCode("reconnect.leaveCode", asked), () => asked)

/** Shared: nearly every connection has no codes of its own. */
const NO_CODES: ReadonlySet<number> = new Set()

const closeCodes = (field: string, codes: ReadonlyArray<number> = []): Checked<ReadonlySet<number>> =>
  Either.gen(function* () {
    yield* atMost(field, codes.length, CALLER.CLOSE_CODES, "codes")
    yield* every(codes, (code, i) =>
      must(
        Number.isInteger(code) && code >= 1000 && code <= 4999,
        `${field}[${i}]`,
        `${code} is no close code from 1000 to 4999`
      )
    )
    return codes.length === 0 ? NO_CODES : new Set(codes)
  })

const OVERFLOW = {
  OVERFLOW_UNSPECIFIED: "pause",
  OVERFLOW_PAUSE: "pause",
  OVERFLOW_DROP_OLDEST: "drop-oldest",
  OVERFLOW_DROP_NEWEST: "drop-newest"
} as const

export const resolveBuffer = (asked: Buffering = {}): Checked<ResolvedBuffer> =>
  Either.gen(function* () {
    return {
      maxFrames: yield* uint32("buffer.maxFrames", asked.maxFrames, 4096),
      maxBytes: yield* uint32("buffer.maxBytes", asked.maxBytes, 8 * 1024 * 1024),
      overflow: yield* enumeration<ResolvedBuffer["overflow"]>("buffer.overflow", asked.overflow, OVERFLOW, "pause")
    }
  })

const MODES = {
  CORRELATION_MODE_UNSPECIFIED: "json-field",
  CORRELATION_MODE_JSON_FIELD: "json-field",
  CORRELATION_MODE_ENVELOPE: "envelope",
  CORRELATION_MODE_PREFIX: "prefix",
  CORRELATION_MODE_NEXT: "next"
} as const

/** How replies are found where nothing is said: JSON_FIELD on `$.id`. */
export const DEFAULT_CORRELATION: ResolvedCorrelation = { mode: "json-field", requestPath: "$.id", replyPath: "$.id" }

/** A correlation that is set replaces `base` as a whole, with the defaults of the proto. */
export const resolveCorrelation = (
  asked: Correlation | undefined,
  base: ResolvedCorrelation = DEFAULT_CORRELATION
): Checked<ResolvedCorrelation> =>
  Either.gen(function* () {
    if (asked === undefined) return base
    const mode = yield* enumeration<ResolvedCorrelation["mode"]>("correlation.mode", asked.mode, MODES, "json-field")
    const requestPath = yield* path("correlation.requestPath", asked.requestPath, "$.id")
    yield* must(requestPath !== "$", "correlation.requestPath", "names the whole message, not a field of it")
    return { mode, requestPath, replyPath: yield* path("correlation.replyPath", asked.replyPath, requestPath) }
  })

const path = (field: string, asked: string | undefined, absent: string): Checked<string> =>
  asked === undefined || asked === "" ? Either.right(absent) : Either.map(checkPath(field, asked), () => asked)

/** A JSON path: `$`, `.name`, `['name']`, `[n]`, nothing else. */
export const checkPath = (field: string, value: string): Checked<void> =>
  Either.gen(function* () {
    yield* must(
      value.length <= CALLER.PATH_CHARS,
      field,
      `has ${value.length} characters, over ${CALLER.PATH_CHARS} of a JSON path`
    )
    const path = parsePath(value)
    if (Either.isLeft(path) || Either.isLeft(text(field, value))) {
      return yield* refuse(field, "is no JSON path of $, .name, ['name'] and [n]")
    }
    yield* atMost(field, path.right.length, CALLER.PATH_STEPS, "steps")
  })

const PACKING = { PACKING_UNSPECIFIED: false, PACKING_SINGLE: false, PACKING_PACKED: true }

/** Frames as events where nothing is said: one event a frame. */
export const DEFAULT_PUBLISHING: ResolvedPublishing = {
  packed: false,
  maxFrames: 256,
  maxBytes: 256 * 1024,
  lingerMs: 5,
  textContentType: TEXT_PLAIN
}

/** A publishing that is set replaces `base` as a whole, with the defaults of the proto. */
export const resolvePublishing = (
  asked: Publishing | undefined,
  base: ResolvedPublishing = DEFAULT_PUBLISHING
): Checked<ResolvedPublishing> =>
  Either.gen(function* () {
    if (asked === undefined) return base
    return {
      packed: yield* enumeration("publishing.packing", asked.packing, PACKING, false),
      maxFrames: yield* uint32("publishing.maxFrames", asked.maxFrames, DEFAULT_PUBLISHING.maxFrames),
      maxBytes: yield* uint32("publishing.maxBytes", asked.maxBytes, DEFAULT_PUBLISHING.maxBytes),
      lingerMs: yield* duration("publishing.lingerMs", asked.lingerMs, DEFAULT_PUBLISHING.lingerMs, TIMEOUT),
      textContentType: yield* mediaType("publishing.textContentType", asked.textContentType)
    }
  })

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const MEDIA_TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]*"))*$`
)

const mediaType = (field: string, asked: string | undefined): Checked<string> => {
  if (asked === undefined || asked === "") return Either.right(TEXT_PLAIN)
  return asked.length <= 256 && MEDIA_TYPE.test(asked) ? Either.right(asked) : refuse(field, "is no media type")
}
