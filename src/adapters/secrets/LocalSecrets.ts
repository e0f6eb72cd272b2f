/**
 * Secrets of this host: the file of that name in a directory, else the variable `WSM_SECRET_VALUE_<NAME>`.
 *
 * A file is found by the canonical form of its name, as a variable is. So every spelling of a secret is the same secret.
 * Read anew at each question, so that a rotated secret is used at the next dial.
 */
import { constants, readdirSync } from "node:fs"
import { open, readdir } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import {
  canonicalName,
  isLocalName,
  isSecretName,
  twins,
  VARIABLE_PREFIX,
  variableOf
} from "../../domain/secrets/SecretName.js"
import { SecretMissing, Secrets } from "../../ports/Secrets.js"

/** Where the secrets of this host lie. */
export interface LocalSecretsOptions {
  /** "": no directory, variables alone */
  readonly dir: string
  /** the variables; those that begin with `WSM_SECRET_VALUE_` are secrets */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Longer than any header, URL or message may be. */
const MAX_BYTES = 64 * 1024

/** Two names of one secret, of variables or of files, if there are. */
export const twinsOf = ({ dir, env }: LocalSecretsOptions) => ({
  variables: twins(Object.keys(env).filter((name) => name.startsWith(VARIABLE_PREFIX) && env[name] !== undefined))[0],
  files: twins(dir === "" ? [] : filesOf(dir))[0]
})

/** A directory that is missing is empty. */
const filesOf = (dir: string): ReadonlyArray<string> => {
  try {
    return readdirSync(dir).filter(isLocalName)
  } catch {
    return []
  }
}

/** Reads files and variables anew at each question. Fails with SecretMissing, which says where it looked. */
export const make = ({ dir, env }: LocalSecretsOptions): Secrets["Type"] => {
  const fromFile = (name: string): Effect.Effect<string | undefined, SecretMissing> =>
    Effect.gen(function* () {
      if (dir === "") return undefined
      const canonical = canonicalName(name)
      const names = yield* attempt(name, () => readdir(dir))
      const files = (names ?? []).filter((file) => isLocalName(file) && canonicalName(file) === canonical)
      if (files.length > 1)
        return yield* Effect.fail(missing(name, `the files ${files.sort().join(" and ")} are both it`))
      return files.length === 0 ? undefined : yield* attempt(name, () => textOf(join(dir, files[0]!)))
    })

  const notFound = (name: string): string =>
    `it is neither ${dir === "" ? "a file (WSM_SECRETS_DIR is not set)" : `a file of ${dir}`} nor ${variableOf(name)}`

  const resolve = (name: string): Effect.Effect<Redacted.Redacted<string>, SecretMissing> =>
    Effect.gen(function* () {
      if (!isLocalName(name)) return yield* Effect.fail(missing(name, nameFault(name)))
      const value = ((yield* fromFile(name)) ?? env[variableOf(name)])?.replace(/\r?\n$/, "")
      if (value === undefined) return yield* Effect.fail(missing(name, notFound(name)))
      if (value === "") return yield* Effect.fail(missing(name, "it is empty"))
      return Redacted.make(value)
    })

  return { resolve }
}

const missing = (name: string, reason: string) => new SecretMissing({ name, reason })

/** Undefined: it is not there. */
const attempt = <A>(name: string, read: () => Promise<A>): Effect.Effect<A | undefined, SecretMissing> =>
  Effect.tryPromise({
    try: read,
    catch: (error) => (error instanceof Error && "code" in error ? String(error.code) : "it is over 64 KiB")
  }).pipe(
    Effect.catchAll((code) =>
      code === "ENOENT" ? Effect.succeed(undefined) : Effect.fail(missing(name, `its file cannot be read: ${code}`))
    )
  )

/** Never more than a secret may have, whatever the file is. */
const textOf = async (path: string): Promise<string> => {
  // A blocking open of a pipe would wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES + 1), 0, MAX_BYTES + 1, 0)
    if (bytesRead > MAX_BYTES) throw new Error()
    return buffer.toString("utf8", 0, bytesRead)
  } finally {
    await file.close()
  }
}

const nameFault = (name: string): string =>
  name.includes("/") && isSecretName(name)
    ? "NAME/KEY asks a secret store, which needs the dapr backing"
    : "a name is 1-128 of A-Z a-z 0-9 _ . - and begins with no dot"

/** `make` as a layer. */
export const layer = (options: LocalSecretsOptions): Layer.Layer<Secrets> => Layer.succeed(Secrets, make(options))
