/** What reads text: the JSON scanner, JSON paths, templates, topic patterns, URLs as they are shown. */
import * as Either from "effect/Either"
import * as JsonPath from "../../src/domain/json/JsonPath.js"
import { FEED } from "../../src/domain/Limits.js"
import { parseUrl } from "../../src/domain/Peer.js"
import { redactUrl } from "../../src/domain/secrets/Redact.js"
import { fillTemplate, parseTemplate } from "../../src/domain/Templates.js"
import { refuseTopic } from "../../src/domain/validation/TopicPolicy.js"
import type { Random } from "./Random.js"
import { must, type Target } from "./Target.js"

const NAMES = ["id", "a", "payload", "", "é", 'q"', "__proto__"]

export const jsonValue = (random: Random, depth = 0): unknown => {
  const kind = random.below(depth > 5 ? 5 : 7)
  if (kind === 0) return random.pick([null, true, false])
  if (kind <= 2) return random.pick([0, -1, 1e21, 1.5e-7, 12345678901234, -0])
  if (kind <= 4) return random.pick(["", "text", "\u2028\ud83d\ude00", '\\"', "\ud800", "x".repeat(random.below(200))])
  const length = random.below(5)
  if (kind === 5) return Array.from({ length }, () => jsonValue(random, depth + 1))
  return Object.fromEntries(Array.from({ length }, () => [random.pick(NAMES), jsonValue(random, depth + 1)]))
}

const parsed = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return undefined
  }
}

/** By recursion, for text whose depth is known to be small. */
const depthOf = (value: unknown): number =>
  typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0

const PATHS: ReadonlyArray<JsonPath.Path> = [
  [],
  ["id"],
  ["payload", "id"],
  ["a", 0],
  [0],
  [1, "a", "id"],
  ["__proto__"],
  [""]
]

const at = (value: unknown, path: JsonPath.Path): { readonly value: unknown } | undefined => {
  let found = value
  for (const step of path) {
    if (typeof found !== "object" || found === null) return undefined
    if (Array.isArray(found) !== (typeof step === "number") || !Object.hasOwn(found, step)) return undefined
    found = (found as Record<string | number, unknown>)[step]
  }
  return { value: found }
}

const json: Target = {
  name: "json",
  seed: (random) => Buffer.from(JSON.stringify(jsonValue(random), undefined, random.pick([0, 1]))),
  run: (input) => {
    const text = input.toString("utf8")
    const real = parsed(text)
    // Beyond the limit of depth the scanner says no; JSON.parse and we agree only on what is less deep.
    const deep = (text.match(/[[{]/g)?.length ?? 0) > FEED.JSON_DEPTH
    if (!deep) must(JsonPath.isJson(text) === (real !== undefined), "isJson and JSON.parse disagree")
    if (deep && real === undefined) must(!JsonPath.isJson(text), "isJson takes what JSON.parse does not")
    for (const path of PATHS) {
      const span = JsonPath.find(text, path)
      const wanted = real === undefined || deep ? undefined : at(real.value, path)
      if (!deep) must((span !== undefined) === (wanted !== undefined), `find disagrees at ${JSON.stringify(path)}`)
      if (span === undefined || wanted === undefined) continue
      const there = parsed(text.slice(span.start, span.end))
      must(JSON.stringify(there?.value) === JSON.stringify(wanted.value), `another value at ${JSON.stringify(path)}`)
      JsonPath.valueText(text, span)
    }
    const filled = JsonPath.insertField(text, ["payload", "id"], "1")
    if (filled !== undefined)
      must(at(parsed(filled)?.value, ["payload", "id"])?.value === 1, "insertField did not insert")
    if (real !== undefined && !deep) must(depthOf(real.value) <= FEED.JSON_DEPTH, "deeper than counted")
  }
}

const paths: Target = {
  name: "paths",
  seed: (random) => Buffer.from(`$${Array.from({ length: random.below(6) }, () => random.pick([".id", "['a b']", "[3]", "['\\\\']", "['\\'']", ".é"])).join("")}`), // prettier-ignore
  run: (input) => {
    const text = input.toString("utf8")
    const path = JsonPath.parsePath(text)
    if (Either.isLeft(path)) return must(path.left.length < 400, "a refusal as long as its input")
    for (const step of path.right) must(typeof step === "string" || Number.isSafeInteger(step), "a step of no kind")
    JsonPath.find('{"id":[1,{"a b":2}]}', path.right)
  }
}

const SHAPES = ["${secret:a}", "${capture:x}", "${connection:id}", "${instance:id}", "${", "}", "$${secret:", "plain"]

const templates: Target = {
  name: "templates",
  seed: (random) => Buffer.from(Array.from({ length: random.below(12) }, () => random.pick(SHAPES)).join("")),
  run: (input) => {
    const text = input.toString("utf8")
    const same = fillTemplate(parseTemplate(text), ({ kind, name }) => `\${${kind}:${name}}`)
    must(same === text, "a template filled with its own placeholders is another text")
  }
}

const topics: Target = {
  name: "topics",
  seed: (random) => Buffer.from(`prices.${"*a".repeat(random.below(9))}*\u0000prices.${"a".repeat(random.below(64))}`),
  run: (input) => {
    const [pattern = "", topic = ""] = input.subarray(0, 4096).toString("utf8").split("\u0000")
    const policy = { topics: [pattern], lifecycleTopic: "l" }
    const escaped = pattern
      .split("*")
      .map((piece) => piece.replace(/[^]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`))
    // The expression is the definition; it costs more than linear time, so it judges only what is short.
    if (escaped.length > 4 || topic.length > 64 || /\p{Surrogate}/u.test(pattern + topic))
      return void refuseTopic(topic, policy)
    const wanted = new RegExp(`^${escaped.join("[^]*")}$`, "u").test(topic)
    const own = /is the manager's own|looks like a key/.test(refuseTopic(topic, policy) ?? "")
    must(own || (refuseTopic(topic, policy) === undefined) === wanted, "another verdict than the pattern's meaning")
  }
}

const urls: Target = {
  name: "urls",
  seed: (random) => Buffer.from(`wss://user:hunter2canary@h${random.below(9)}.example:8443/p/${"s".repeat(random.below(40))}?symbol=btc&token=hunter2canary&x=%41#f`), // prettier-ignore
  run: (input) => {
    const text = input.toString("utf8")
    const shown = redactUrl(text)
    must(shown.length <= text.length * 4 + 64, "shown longer than it is")
    const whole = /^wss?:\/\/user:hunter2canary@h\d/.exec(text) !== null && parseUrl(text) !== undefined
    if (whole) must(!/^wss?:\/\/user:/.test(shown), "userinfo is shown")
  }
}

export const textTargets: ReadonlyArray<Target> = [json, paths, templates, topics, urls]
