/**
 * The opening request with everything filled in, made anew for each dial so that a rotated secret is used at the next one.
 *
 * A header, a subprotocol and a message get a value as it is; in the URL it is percent-encoded as one component, so that a
 * secret can hold any character and cannot change host, path or the other query values.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { TargetForbidden } from "../domain/Errors.js"
import { normaliseHost } from "../domain/HostName.js"
import type { RefuseSecret, SecretTarget } from "../domain/SecretHosts.js"
import { shownName } from "../domain/SecretName.js"
import type { ResolvedSpec } from "../domain/Spec.js"
import * as Templates from "../domain/Templates.js"
import type { Secrets } from "../ports/Secrets.js"
import { dialFailure } from "./DialFailures.js"
import type { DialFailure, SessionOptions } from "./Session.js"

export interface Opening {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly subprotocols: ReadonlyArray<string>
  /** the application-level ping, filled in */
  readonly ping: Buffer | undefined
  /** the value of any placeholder but a capture */
  readonly value: (placeholder: Templates.Placeholder) => string
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
): Effect.Effect<Opening, DialFailure> =>
  Effect.gen(function* () {
    const values = new Map<string, string>()
    for (const name of Templates.secretNames(templatesOf(spec))) {
      const secret = yield* Effect.mapError(secrets.resolve(name), ({ reason }) =>
        dialFailure("secret", `secret ${shownName(name)} is missing: ${reason}`)
      )
      values.set(name, Redacted.value(secret))
    }
    const value = (placeholder: Templates.Placeholder): string => {
      if (placeholder.kind === "secret") return values.get(placeholder.name) ?? ""
      if (placeholder.kind === "instance") return instanceId
      if (placeholder.kind === "connection") return placeholder.name === "id" ? connectionId : String(epoch)
      return ""
    }
    const fill = (template: Templates.Template) => Templates.fillTemplate(template, value)
    const cannotStand = (template: Templates.Template, where: string) =>
      dialFailure(
        "secret",
        `${
          Templates.secretNames([template])
            .map((name) => `secret ${shownName(name)}`)
            .join(", ") || "a value"
        } cannot stand in ${where}`
      )

    const headers: Array<readonly [name: string, value: string]> = []
    for (const [name, text] of spec.headers) {
      const template = Templates.parseHeaderValue(text)
      const filled = fill(template)
      if (NO_HEADER_VALUE.test(filled)) return yield* Effect.fail(cannotStand(template, `header ${name}`))
      headers.push([name, filled])
    }
    const subprotocols: Array<string> = []
    for (const text of spec.subprotocols) {
      const template = Templates.parseTemplate(text)
      const filled = fill(template)
      if (!TOKEN.test(filled) || subprotocols.includes(filled)) {
        return yield* Effect.fail(cannotStand(template, "a subprotocol"))
      }
      subprotocols.push(filled)
    }
    const urlTemplate = Templates.parseTemplate(spec.url)
    const url = yield* Effect.mapError(
      Effect.try(() => new URL(Templates.fillTemplate(urlTemplate, (p) => encodeURIComponent(value(p))))),
      () => cannotStand(urlTemplate, "the URL")
    )
    const ping = spec.keepAlive.ping
    return {
      url,
      headers: Object.fromEntries(headers),
      subprotocols,
      ping:
        ping === undefined
          ? undefined
          : ping.binary
            ? Buffer.from(ping.data)
            : Buffer.from(fill(Templates.parseTemplate(asText(ping.data)))),
      value
    }
  })

/** What node refuses to send as a header's value: control characters and what is not Latin-1. */
const NO_HEADER_VALUE = /[^\t\x20-\x7e\x80-\xff]/

/** A subprotocol, RFC 6455 and RFC 7230. */
const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`|a-z~]+$/

/** Every text of a spec that may hold placeholders. */
const templatesOf = (spec: ResolvedSpec): ReadonlyArray<Templates.Template> => {
  const templates = [
    Templates.parseTemplate(spec.url),
    ...spec.headers.map(([, value]) => Templates.parseHeaderValue(value)),
    ...spec.subprotocols.map(Templates.parseTemplate)
  ]
  for (const step of spec.handshake) {
    if (step.kind === "text") templates.push(Templates.parseTemplate(asText(step.data)))
  }
  const { ping } = spec.keepAlive
  if (ping !== undefined && !ping.binary) templates.push(Templates.parseTemplate(asText(ping.data)))
  return templates
}

const asText = (data: Uint8Array): string => Buffer.from(data).toString("utf8")
