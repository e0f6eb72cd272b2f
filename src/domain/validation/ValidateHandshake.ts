/** The login of a connection: its steps, and what they may refer to. */
import * as Either from "effect/Either"
import { CALLER } from "../Limits.js"
import type { Expect, ExpectStep, ResolvedStep, Spec } from "../Spec.js"
import { parseTemplate } from "../Templates.js"
import { atMost, type Checked, duration, entryName, must, printable, refuse, text, utf8 } from "./Check.js"
import { checkPath } from "./ValidatePolicies.js"
import { checkTemplate } from "./ValidateTemplate.js"

type Asked = NonNullable<Spec["handshake"]>[number]

const MAX_STEPS = 64
const CAPTURE_NAME = /^[A-Za-z0-9_.-]{1,128}$/

export const checkHandshake = (asked: Spec["handshake"] = []): Checked<ReadonlyArray<ResolvedStep>> =>
  Either.gen(function* () {
    yield* must(asked.length <= MAX_STEPS, "handshake", `has ${asked.length} steps, over ${MAX_STEPS}`)
    const captures = new Set<string>()
    let count = 0
    const steps: Array<ResolvedStep> = []
    for (const [i, step] of asked.entries()) {
      const checked: ResolvedStep = yield* checkStep(`handshake[${i}]`, step, captures)
      if (checked.kind === "expect") {
        count += checked.capture.length
        yield* atMost(`handshake[${i}].expect.capture`, count, CALLER.CAPTURES, "captures with those before it")
        for (const [name] of checked.capture) captures.add(name)
      }
      steps.push(checked)
    }
    return steps
  })

const checkStep = (field: string, step: Asked, captures: ReadonlySet<string>): Checked<ResolvedStep> => {
  const { expect, sendBinary, sendText } = step
  const kinds = [sendText, sendBinary, expect].filter((kind) => kind !== undefined).length
  if (kinds > 1) return refuse(field, "is more than one of sendText, sendBinary, expect")
  if (sendText !== undefined) {
    return Either.gen(function* () {
      yield* atMost(`${field}.sendText`, sendText.length, CALLER.TEXT_STEP_BYTES, "bytes")
      yield* utf8(`${field}.sendText`, sendText)
      const content = Buffer.from(sendText).toString()
      yield* checkTemplate(`${field}.sendText`, content, captures)
      return { kind: "text", data: sendText, template: parseTemplate(content) } as const
    })
  }
  if (sendBinary !== undefined) return Either.right({ kind: "binary", data: sendBinary })
  if (expect !== undefined) return checkExpect(`${field}.expect`, expect)
  return refuse(field, "is none of sendText, sendBinary, expect")
}

const checkExpect = (field: string, asked: Expect): Checked<ExpectStep> =>
  Either.gen(function* () {
    const jsonPath = asked.jsonPath ?? ""
    if (jsonPath !== "") yield* checkPath(`${field}.jsonPath`, jsonPath)
    const equals = yield* text(`${field}.equals`, asked.equals ?? "")
    const timeoutMs = yield* duration(`${field}.timeoutMs`, asked.timeoutMs, 10_000, { max: CALLER.TIMEOUT_MS })
    const capture = Object.entries(asked.capture ?? {})
    yield* atMost(`${field}.capture`, capture.length, CALLER.CAPTURES, "captures")
    for (const [name, path] of capture) {
      const at = `${field}.capture.${printable(name)}`
      yield* must(CAPTURE_NAME.test(name), at, "is no name of 1 to 128 of A-Z a-z 0-9 _ . -")
      yield* entryName(at, name)
      yield* checkPath(at, path)
    }
    return { kind: "expect", jsonPath, equals, timeoutMs, capture }
  })
