/**
 * A secret of the environment: the variable itself, or the file that the variable of its name and `_FILE` names.
 *
 * Every user of the host sees a command line, and every child process sees the environment; a file has permissions.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import * as Either from "effect/Either"

type Env = Readonly<Record<string, string | undefined>>

export interface SecretText {
  readonly text: string
  /** the variable, or its `_FILE` */
  readonly setting: string
  /** the file, where it is one */
  readonly file: string | undefined
  readonly warning: string | undefined
}

/** Represents a secret that was given in a way that cannot be. */
export interface SecretFault {
  readonly setting: string
  readonly value: string
  /** as the end of "must …" */
  readonly rule: string
}

const MAX_BYTES = 64 * 1024

export const fileVariable = (env: string): string => `${env}_FILE`

/** The secret of this name; undefined: there is none. */
export const secretOf = (env: Env, name: string): Either.Either<SecretText | undefined, SecretFault> => {
  const text = env[name] ?? ""
  const setting = fileVariable(name)
  const file = env[setting] ?? ""
  if (file === "") {
    return Either.right(text === "" ? undefined : { text, setting: name, file: undefined, warning: undefined })
  }
  const refuse = (rule: string) => Either.left({ setting, value: file, rule })
  if (text !== "") return refuse(`not be given beside ${name}`)
  const read = contentOf(file)
  if (typeof read === "string") return refuse(`be a file that can be read: ${read}`)
  const held = read.text.replace(/\r?\n$/, "")
  if (held === "") return refuse("be a file that holds something: it is empty")
  const warning =
    (read.mode & OTHERS_READ) === 0
      ? undefined
      : `${setting}=${file} can be read by everybody on this host (mode ${(read.mode & 0o777).toString(8)}): chmod o-r`
  return Either.right({ text: held, setting, file, warning })
}

const OTHERS_READ = 0o004

/** Why not, in a word, where it cannot be read. */
const contentOf = (path: string): { readonly text: string; readonly mode: number } | string => {
  let file: number | undefined
  try {
    // A blocking open of a pipe would wait for its writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(file)
    if (!stats.isFile()) return "it is no file"
    const buffer = Buffer.alloc(MAX_BYTES + 1)
    const bytes = readSync(file, buffer, 0, buffer.length, 0)
    return bytes > MAX_BYTES ? "it is over 64 KiB" : { text: buffer.toString("utf8", 0, bytes), mode: stats.mode }
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "it cannot be opened"
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
