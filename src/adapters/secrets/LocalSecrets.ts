/**
 * Secrets of this host: the file of that name in a directory, else the variable `WSM_SECRET_VALUE_<NAME>`.
 *
 * Read anew at each question, so that a rotated secret is used at the next dial.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SecretMissing, Secrets } from "../../ports/Secrets.js"

export interface LocalSecretsOptions {
  /** "": no directory, variables alone */
  readonly dir: string
  readonly env: Readonly<Record<string, string | undefined>>
}

const NAME = /^(?!\.)[A-Za-z0-9_.-]{1,128}$/

/** The variable that holds the secret of this name. */
export const variableOf = (name: string): string =>
  `WSM_SECRET_VALUE_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`

export const make = ({ dir, env }: LocalSecretsOptions): typeof Secrets.Service => {
  const missing = (name: string, reason: string) => new SecretMissing({ name, reason })

  const fromFile = (name: string): Effect.Effect<string | undefined, SecretMissing> =>
    dir === ""
      ? Effect.succeed(undefined)
      : Effect.tryPromise({
          try: () => readFile(join(dir, name), "utf8"),
          catch: (error) => (error instanceof Error && "code" in error ? String(error.code) : "unreadable")
        }).pipe(
          Effect.catchAll((code) =>
            code === "ENOENT"
              ? Effect.succeed(undefined)
              : Effect.fail(missing(name, `its file cannot be read: ${code}`))
          )
        )

  const notFound = (name: string): string =>
    `it is neither ${dir === "" ? "a file (WSM_SECRETS_DIR is not set)" : `a file of ${dir}`} nor ${variableOf(name)}`

  const resolve = (name: string): Effect.Effect<Redacted.Redacted<string>, SecretMissing> =>
    Effect.gen(function* () {
      if (!NAME.test(name)) return yield* Effect.fail(missing(name, nameFault(name)))
      const value = ((yield* fromFile(name)) ?? env[variableOf(name)])?.replace(/\r?\n$/, "")
      if (value === undefined) return yield* Effect.fail(missing(name, notFound(name)))
      if (value === "") return yield* Effect.fail(missing(name, "it is empty"))
      return Redacted.make(value)
    })

  return { resolve }
}

const nameFault = (name: string): string =>
  name.split("/").length === 2 && name.split("/").every((part) => NAME.test(part))
    ? "NAME/KEY asks a secret store, which needs the dapr backing"
    : "a name is 1-128 of A-Z a-z 0-9 _ . - and begins with no dot"

export const layer = (options: LocalSecretsOptions): Layer.Layer<Secrets> => Layer.succeed(Secrets, make(options))
