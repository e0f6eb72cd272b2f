/**
 * Secrets through the sidecar: `NAME/KEY` is the value of KEY in the secret NAME of a Dapr secret store; a NAME alone is a
 * secret of this host, as without Dapr.
 *
 * Asked anew each time, so that a rotated secret is used at the next dial.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { isSecretName } from "../../domain/secrets/SecretName.js"
import { SecretMissing, Secrets } from "../../ports/Secrets.js"
import { Sidecar } from "./Sidecar.js"
import { type HttpAnswer, httpGet } from "./sidecar/HttpGet.js"
import { messageOf } from "./sidecar/Metadata.js"

/** Which secret store is asked, and what answers where none is named. */
export interface DaprSecretsOptions {
  /** the secret store component */
  readonly component: string
  /** where a NAME alone is asked */
  readonly local: Secrets["Type"]
  /** for one secret; 3 seconds unless told */
  readonly deadline?: Duration.DurationInput
}

/** Asks the sidecar's secret store for `NAME/KEY`, and `local` for a name alone. Every failure is a SecretMissing. */
export const make = (
  { http, headers }: Pick<Sidecar["Type"], "http" | "headers">,
  { component, deadline = "3 seconds", local }: DaprSecretsOptions
): Secrets["Type"] => {
  const patience = Duration.toMillis(deadline)
  const store = `the secret store ${component} (WSM_SECRET_STORE)`

  const fromStore = (
    full: string,
    name: string,
    key: string
  ): Effect.Effect<Redacted.Redacted<string>, SecretMissing> => {
    const missing = (reason: string) => new SecretMissing({ name: full, reason })
    const path = `/v1.0/secrets/${encodeURIComponent(component)}/${encodeURIComponent(name)}`
    return httpGet(http, { path, headers, patience }).pipe(
      Effect.mapError(({ message }) => missing(`${store} was not reached: ${message}`)),
      Effect.flatMap((answer) => {
        if (answer.status !== 200) return Effect.fail(missing(refusal(answer, name)))
        const value = valueOf(answer.body, key)
        if (value === undefined)
          return Effect.fail(missing(`${store} has the secret ${name}, but no text at key ${key}`))
        if (value === "") return Effect.fail(missing("it is empty"))
        return Effect.succeed(Redacted.make(value))
      })
    )
  }

  const refusal = ({ body, status }: HttpAnswer, name: string): string => {
    if (status === 204 || status === 404) return `${store} has no secret ${name}`
    if (status === 403)
      return `the sidecar may not read the secret ${name} of ${store}: see the scopes of its Configuration`
    if (body.includes("ERR_SECRET_STORE"))
      return `the sidecar has loaded no secret store ${component} (WSM_SECRET_STORE)`
    return `${store} answers ${status}: ${messageOf(body)}`
  }

  return {
    resolve: (full) => {
      const [name = "", key] = full.split("/", 2)
      return key !== undefined && isSecretName(full) ? fromStore(full, name, key) : local.resolve(full)
    }
  }
}

/** Without a trailing line break, as every secret. */
const valueOf = (body: string, key: string): string | undefined => {
  try {
    const secret = JSON.parse(body) as Record<string, unknown> | null
    const value = secret !== null && Object.hasOwn(secret, key) ? secret[key] : undefined
    return typeof value === "string" ? value.replace(/\r?\n$/, "") : undefined
  } catch {
    return undefined
  }
}

/** `make` on the sidecar of the program. */
export const layer = (options: DaprSecretsOptions): Layer.Layer<Secrets, never, Sidecar> =>
  Layer.effect(
    Secrets,
    Effect.map(Sidecar, (sidecar) => make(sidecar, options))
  )
