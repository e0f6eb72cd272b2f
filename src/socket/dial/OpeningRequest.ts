/**
 * The opening request with everything filled in, made anew for each dial so that a rotated secret is used at the next one.
 *
 * A header, a subprotocol and a message get a value as it is; in the URL it is percent-encoded as one component. So a
 * secret can hold any character, and cannot change host, path or the other query values.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { TargetForbidden } from "../../domain/Errors.js"
import { CALLER } from "../../domain/Limits.js"
import { conceal } from "../../domain/secrets/Conceal.js"
import { normaliseHost } from "../../domain/secrets/HostName.js"
import { isOpaque, opaquePieces } from "../../domain/secrets/Opaque.js"
import { redactUrl } from "../../domain/secrets/Redact.js"
import type { RefuseSecret, SecretTarget } from "../../domain/secrets/SecretHosts.js"
import { shownName } from "../../domain/secrets/SecretName.js"
import type { ResolvedSpec } from "../../domain/Spec.js"
import * as Templates from "../../domain/Templates.js"
import type { Secrets } from "../../ports/Secrets.js"
import { toDialCause } from "../wire/DialFailures.js"
import type { DialCause, SessionOptions } from "../wire/Session.js"

/** What goes out, and what may be told of it: the text it was made from, never the answer of the wire. */
export interface Shown<A> {
  readonly value: Redacted.Redacted<A>
  readonly shown: string
}

export interface OpeningRequest {
  readonly url: Shown<URL>
  /** shown: their names */
  readonly headers: Shown<Readonly<Record<string, string>>>
  readonly subprotocols: ReadonlyArray<Shown<string>>
  /** the application-level ping, filled in */
  readonly ping: Redacted.Redacted<Buffer> | undefined
  /** the value of any placeholder but a capture */
  readonly value: (placeholder: Templates.Placeholder) => string
  /** what the peer says, without what it was sent in confidence */
  readonly conceal: (text: string) => string
}

/** The host name of a spec's URL, as policies compare it. */
export const hostOf = (spec: ResolvedSpec): string =>
  normaliseHost(spec.hostPort.slice(0, spec.hostPort.lastIndexOf(":")))

/** The first secret of a spec that may not go to its target. */
export const refuseSecret = (spec: ResolvedSpec, refuse: RefuseSecret): TargetForbidden | undefined => {
  const target = targetOf(spec)
  for (const name of Templates.secretNames(templatesOf(spec))) {
    const fault = refuse(name, target)
    if (fault !== undefined) {
      const there = `${target.scheme}://${spec.hostPort}`
      return new TargetForbidden({
        host: target.host,
        reason: `secret ${shownName(name)} may not go to ${there}: ${fault}`
      })
    }
  }
  return undefined
}

const targetOf = (spec: ResolvedSpec): SecretTarget => ({
  scheme: /^wss:/i.test(spec.url) ? "wss" : "ws",
  host: hostOf(spec),
  port: spec.hostPort.slice(spec.hostPort.lastIndexOf(":") + 1)
})

/** Fails with kind `secret`, naming the secret, where one is missing or its value cannot stand where it is used. */
export const resolve = (
  { connectionId, epoch, instanceId, spec }: Pick<SessionOptions, "connectionId" | "epoch" | "instanceId" | "spec">,
  secrets: Secrets["Type"]
): Effect.Effect<OpeningRequest, DialCause> =>
  Effect.gen(function* () {
    const values = new Map<string, string>()
    for (const name of Templates.secretNames(templatesOf(spec))) {
      const secret = yield* Effect.mapError(secrets.resolve(name), ({ reason }) =>
        toDialCause("secret", `secret ${shownName(name)} is missing: ${reason}`)
      )
      values.set(name, Redacted.value(secret))
    }
    const value = (placeholder: Templates.Placeholder): string => {
      if (placeholder.kind === "secret") return values.get(placeholder.name) ?? ""
      if (placeholder.kind === "instance") return instanceId
      if (placeholder.kind === "connection") return placeholder.name === "id" ? connectionId : String(epoch)
      return ""
    }
    const fill = (template: Templates.Template, maxBytes: number = CALLER.FILLED_BYTES) =>
      Templates.fillWithin(template, value, maxBytes)
    const cannotStand = (template: Templates.Template, where: string) =>
      toDialCause(
        "secret",
        `${
          Templates.secretNames([template])
            .map((name) => `secret ${shownName(name)}`)
            .join(", ") || "a value"
        } cannot stand in ${where}`
      )

    const headers: Array<readonly [name: string, value: string]> = []
    for (const [i, [name]] of spec.headers.entries()) {
      const template = spec.templates.headers[i]!
      const filled = fill(template)
      if (filled === undefined || NO_HEADER_VALUE.test(filled))
        return yield* Effect.fail(cannotStand(template, `header ${name}`))
      headers.push([name, filled])
    }
    const subprotocols: Array<Shown<string>> = []
    for (const [i, text] of spec.subprotocols.entries()) {
      const template = spec.templates.subprotocols[i]!
      const filled = fill(template)
      if (
        filled === undefined ||
        !TOKEN.test(filled) ||
        subprotocols.some(({ value }) => Redacted.value(value) === filled)
      ) {
        return yield* Effect.fail(cannotStand(template, "a subprotocol"))
      }
      subprotocols.push({ value: Redacted.make(filled), shown: isOpaque(text) ? "***" : text })
    }
    const { ping: pingTemplate, url: urlTemplate } = spec.templates
    const url = yield* Effect.mapError(
      // a URL that would be too long becomes an empty text, which is no URL
      Effect.try(
        () => new URL(Templates.fillWithin(urlTemplate, (p) => encodeURIComponent(value(p)), CALLER.FILLED_BYTES) ?? "")
      ),
      () => cannotStand(urlTemplate, "the URL")
    )
    const { ping } = spec.keepAlive
    const filledPing = pingTemplate === undefined ? ping?.data : fill(pingTemplate, spec.maxMessageBytes)
    if (ping !== undefined && filledPing === undefined) {
      return yield* Effect.fail(cannotStand(pingTemplate!, "a ping: it is too long"))
    }
    return {
      url: { value: Redacted.make(url), shown: spec.shownUrl },
      headers: {
        value: Redacted.make(Object.fromEntries(headers)),
        shown: spec.headers.map(([name]) => name).join(", ")
      },
      subprotocols,
      ping: ping && Redacted.make(Buffer.from(filledPing!)),
      value,
      conceal: concealing(spec, values.size === 0 ? NONE : [...values.values()])
    }
  })

const NONE: ReadonlyArray<string> = []

/** Kept for as long as the socket lives, and of the request only the secrets stay with it. */
const concealing = (spec: ResolvedSpec, secrets: ReadonlyArray<string>) => (text: string) =>
  text === "" ? text : conceal(text, [...secrets, ...literalsOf(spec)])

/** Headers that identify the client and the resource, and hold no credential. */
const TOLD = new Set([
  "origin",
  "user-agent",
  "accept",
  "accept-language",
  "accept-encoding",
  "cache-control",
  "pragma"
])

/**
 * Literal credentials of a spec, as far as their place or look tells: what its shown URL leaves out, the words of its headers,
 * tokens.
 */
const literalsOf = (spec: ResolvedSpec): ReadonlyArray<string> => {
  const found: Array<string> = []
  redactUrl(spec.url, (text) => {
    // of userinfo the whole, as Basic credentials have it, and the password
    for (const part of [text, text.slice(text.indexOf(":") + 1)]) found.push(part, decoded(part))
  })
  for (const [name, value] of spec.headers) {
    if (TOLD.has(name.toLowerCase())) continue
    for (const part of Templates.parseHeaderValue(value)) {
      if (part.kind === "literal") found.push(...part.literal.split(/[\s,;]+/).filter((word) => word.length >= 8))
    }
  }
  for (const template of templatesOf(spec)) {
    for (const part of template) if (part.kind === "literal") found.push(...opaquePieces(part.literal))
  }
  return found
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What node refuses to send as a header's value: control characters and what is not Latin-1. */
const NO_HEADER_VALUE = /[^\t\x20-\x7e\x80-\xff]/

/** A subprotocol, RFC 6455 and RFC 7230. */
const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`|a-z~]+$/

/** Every text of a spec that may hold placeholders. */
const templatesOf = ({ handshake, templates }: ResolvedSpec): ReadonlyArray<Templates.Template> => {
  const all = [templates.url, ...templates.headers, ...templates.subprotocols]
  for (const step of handshake) if (step.kind === "text") all.push(step.template)
  if (templates.ping !== undefined) all.push(templates.ping)
  return all
}
