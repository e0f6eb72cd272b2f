/** The login of a connection: its steps, and what they may refer to. */
import * as Either from "effect/Either"
import { type Checked, must, printable, refuse, text, uint32, utf8 } from "./Check.js"
import type { Expect, ExpectStep, HandshakeStep, Spec } from "./Spec.js"
import { checkPath } from "./ValidatePolicies.js"
import { checkTemplate } from "./ValidateTemplate.js"

type Asked = NonNullable<Spec["handshake"]>[number]

const MAX_STEPS = 64
const CAPTURE_NAME = /^[A-Za-z0-9_.-]{1,128}$/

export const checkHandshake = (asked: Spec["handshake"] = []): Checked<ReadonlyArray<HandshakeStep>> =>
  Either.gen(function* () {
    yield* must(asked.length <= MAX_STEPS, "handshake", `has ${asked.length} steps, over ${MAX_STEPS}`)
    const captures = new Set<string>()
    const steps: Array<HandshakeStep> = []
    for (const [i, step] of asked.entries()) {
      const checked: HandshakeStep = yield* checkStep(`handshake[${i}]`, step, captures)
      if (checked.kind === "expect") for (const [name] of checked.capture) captures.add(name)
      steps.push(checked)
    }
    return steps
  })

const checkStep = (field: string, step: Asked, captures: ReadonlySet<string>): Checked<HandshakeStep> => {
  const { expect, sendBinary, sendText } = step
  const kinds = [sendText, sendBinary, expect].filter((kind) => kind !== undefined).length
  if (kinds > 1) return refuse(field, "is more than one of sendText, sendBinary, expect")
  if (sendText !== undefined) {
    return Either.gen(function* () {
      yield* utf8(`${field}.sendText`, sendText)
      yield* checkTemplate(`${field}.sendText`, Buffer.from(sendText).toString(), captures)
      return { kind: "text", data: sendText } as const
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
    const timeoutMs = yield* uint32(`${field}.timeoutMs`, asked.timeoutMs, 10_000)
    const capture = Object.entries(asked.capture ?? {})
    for (const [name, path] of capture) {
      const at = `${field}.capture.${printable(name)}`
      yield* must(CAPTURE_NAME.test(name), at, "is no name of 1 to 128 of A-Z a-z 0-9 _ . -")
      yield* checkPath(at, path)
    }
    return { kind: "expect", jsonPath, equals, timeoutMs, capture }
  })
