/**
 * The login that runs after each open: send, expect, send.
 *
 * Synchronous on purpose. The frame that answers a step, and the frames behind it, may come in the same read of the socket.
 * So the next step is in place before the next frame is looked at. A frame that a step expected goes nowhere else; every
 * other one is an ordinary frame, in order.
 */
import * as Either from "effect/Either"
import type { Guarded } from "../../common/CallbackGuard.js"
import * as JsonPath from "../../domain/json/JsonPath.js"
import { FEED } from "../../domain/Limits.js"
import type { ExpectStep, ResolvedSpec, ResolvedStep } from "../../domain/Spec.js"
import { fillWithin, type Placeholder } from "../../domain/Templates.js"
import type { Timers } from "../wire/Timers.js"

/** All that the login may do. */
export interface HandshakeTarget extends Guarded {
  /** Says why the message cannot be sent; undefined: it is on its way. */
  readonly send: (data: Uint8Array, binary: boolean) => string | undefined
  /** An ordinary frame. */
  readonly pass: (data: Buffer, binary: boolean) => void
  /** Called once: undefined when all steps are done, else why not. */
  readonly done: (failure: string | undefined) => void
  /** Asked right before each message. */
  readonly mayAct: () => boolean
}

export interface Handshake {
  /** The socket is open. */
  readonly start: () => void
  readonly frame: (data: Buffer, binary: boolean) => void
  /** The socket is gone, or its session no longer waits; `done` is not called. */
  readonly stop: () => void
}

/**
 * `value` fills the placeholders whose values are known before the socket opens: all but captures. A frame over
 * `maxReplyBytes` is an ordinary one.
 */
export const make = (
  steps: ReadonlyArray<ResolvedStep>,
  { maxMessageBytes, maxReplyBytes }: Pick<ResolvedSpec, "maxMessageBytes" | "maxReplyBytes">,
  value: (placeholder: Placeholder) => string,
  target: HandshakeTarget,
  timers: Timers
): Handshake => {
  const captured = new Map<string, string>()
  const filled = (placeholder: Placeholder) =>
    placeholder.kind === "capture" ? (captured.get(placeholder.name) ?? "") : value(placeholder)

  let next = 0
  let expected: ExpectStep | undefined
  let stopTimer = () => {}

  const finish = (failure: string | undefined) => {
    stop()
    target.done(failure)
  }
  const stop = () => {
    next = Infinity
    expected = undefined
    stopTimer()
  }
  const advance = () => {
    stopTimer()
    expected = undefined
    while (next < steps.length) {
      const step = steps[next++]!
      if (step.kind === "expect") {
        expected = step
        const failure = `step ${next}: no matching frame within ${step.timeoutMs} ms`
        stopTimer = timers.after(step.timeoutMs, () => finish(failure), target)
        return
      }
      if (!target.mayAct()) return finish(`step ${next}: this instance may not act now`)
      const content = step.kind === "text" ? fillWithin(step.template, filled, maxMessageBytes) : step.data
      if (content === undefined)
        return finish(`step ${next}: filled in it is over max_message_bytes, ${maxMessageBytes}`)
      const failure = target.send(typeof content === "string" ? Buffer.from(content) : content, step.kind === "binary")
      if (failure !== undefined) return finish(`step ${next}: ${failure}`)
    }
    finish(undefined)
  }

  return {
    start: advance,
    stop,
    frame: (data, binary) => {
      const found = expected === undefined || data.length > maxReplyBytes ? undefined : match(expected, data)
      if (found === undefined) return target.pass(data, binary)
      if (typeof found === "string") return finish(`step ${next}: ${found}`)
      for (const [name, content] of found) captured.set(name, content)
      advance()
    }
  }
}

/**
 * What a frame gives to a step: its captures, or undefined where the frame is not the one that was expected. A frame that
 * lacks something to capture is not the expected one. A captured string is filled in by its content, any other value by its
 * JSON text. A text says why the login cannot go on, which is that a capture would be too long.
 */
export const match = (
  step: ExpectStep,
  data: Buffer
): ReadonlyArray<readonly [name: string, content: string]> | string | undefined => {
  if (step.jsonPath === "" && step.equals !== "" && !data.equals(Buffer.from(step.equals))) return undefined
  if (step.jsonPath === "" && step.capture.length === 0) return []
  const text = asText(data)
  const at = (path: string): string | undefined => {
    if (path === "") return text
    const parsed = JsonPath.parsePath(path)
    const span = Either.isRight(parsed) ? JsonPath.find(text, parsed.right) : undefined
    return span === undefined ? undefined : JsonPath.valueText(text, span)
  }
  if (step.jsonPath !== "") {
    const content = at(step.jsonPath)
    if (content === undefined || (step.equals !== "" && content !== step.equals)) return undefined
  }
  const captures: Array<readonly [string, string]> = []
  for (const [name, path] of step.capture) {
    const content = at(path)
    if (content === undefined) return undefined
    if (Buffer.byteLength(content) > FEED.CAPTURE_BYTES) return `capture ${name} is over ${FEED.CAPTURE_BYTES} bytes`
    captures.push([name, content])
  }
  return captures
}

const asText = (data: Uint8Array): string => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8")
