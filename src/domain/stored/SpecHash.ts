/** Tells a repeated request_id from a different request under the same one. */
import { createHash } from "node:crypto"
import * as Either from "effect/Either"
import type { ResolvedSpec } from "../Spec.js"
import { type CheckedConnect, resolveSpec } from "../validation/Validate.js"

/**
 * SHA-256, in hexadecimal, of what was asked for: the spec, its tags and topic. What stands at its default counts as
 * omitted. So an explicit default is no difference, and a later version with more fields finds the same hash; request_id
 * and await_open do not count, nor does the order of headers and tags.
 */
export const specHash = (connect: Pick<CheckedConnect, "spec" | "tags" | "topic">): string => {
  const { hostPort: _hostPort, shownUrl: _shownUrl, templates: _templates, ...spec } = connect.spec
  const handshake = spec.handshake.map((step) => (step.kind === "text" ? { kind: step.kind, data: step.data } : step))
  const asked = {
    spec: canonical({ ...spec, handshake, headers: Object.fromEntries(spec.headers) }, { ...DEFAULTS, headers: {} }),
    tags: canonical(connect.tags),
    topic: connect.topic
  }
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex")
}

const DEFAULTS: ResolvedSpec = Either.getOrThrow(resolveSpec({ url: "ws://localhost" }))

/** Plain JSON with sorted keys, without what equals `absent`. */
const canonical = (value: unknown, absent?: unknown): unknown => {
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value)
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64")
  if (value instanceof Set) return [...value].sort()
  if (Array.isArray(value)) return value.map((item) => canonical(item))
  const defaults: Record<string, unknown> = typeof absent === "object" && absent !== null ? { ...absent } : {}
  const entries = Object.entries(value)
    .map(([key, member]) => [key, canonical(member, defaults[key])] as const)
    .filter(([key, member]) => JSON.stringify(member) !== JSON.stringify(canonical(defaults[key], defaults[key])))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries)
}
