import { execFileSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as LocalSecrets from "../../src/adapters/secrets/LocalSecrets.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

const valueOf = (options: LocalSecrets.LocalSecretsOptions, name: string) =>
  Effect.map(LocalSecrets.make(options).resolve(name), Redacted.value)
const reasonOf = (options: LocalSecrets.LocalSecretsOptions, name: string) =>
  Effect.map(Effect.flip(LocalSecrets.make(options).resolve(name)), (error) => {
    expect(error).toMatchObject({ _tag: "SecretMissing", name })
    return error.reason
  })

it.scoped("a secret is the file of its name, without its last line break and no more", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const expected = { a: "plain", b: "unix", c: "windows", d: "two\n", e: " spaces ", "f.1-x_Y": "odd name" }
    const written = { ...expected, b: "unix\n", c: "windows\r\n", d: "two\n\n" }
    for (const [name, value] of Object.entries(written)) writeFileSync(join(dir, name), value)
    for (const [name, value] of Object.entries(expected)) {
      expect(yield* valueOf({ dir, env: {} }, name)).toBe(value)
    }
  })
)

it.scoped("without a file it is the variable of its name, upper case, other characters as _", () =>
  Effect.gen(function* () {
    const env = { WSM_SECRET_VALUE_FEED_TOKEN_1: "from env\n", WSM_SECRET_VALUE_EMPTY: "" }
    const dir = yield* temporaryDirectory
    expect(yield* valueOf({ dir, env }, "feed.token-1")).toBe("from env")
    expect(yield* valueOf({ dir: "", env }, "feed_Token_1")).toBe("from env")
    expect(yield* reasonOf({ dir: "", env }, "empty")).toBe("it is empty")
    expect(yield* reasonOf({ dir: "", env }, "none")).toContain("WSM_SECRET_VALUE_NONE")
    writeFileSync(join(dir, "feed.token-1"), "from file")
    expect(yield* valueOf({ dir, env }, "feed.token-1")).toBe("from file")
  })
)

it.scoped("every spelling of a name is the same file, and two files of one name are none", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const options = { dir, env: { WSM_SECRET_VALUE_FEED_TOKEN: "of the variable" } }
    writeFileSync(join(dir, "feed.token"), "of the file")
    mkdirSync(join(dir, ".feed.token"))
    for (const name of ["feed.token", "FEED.TOKEN", "feed-token", "Feed_Token"]) {
      expect(yield* valueOf(options, name)).toBe("of the file")
    }
    expect(LocalSecrets.twinsOf(options)).toEqual({ files: undefined, variables: undefined })
    writeFileSync(join(dir, "FEED_TOKEN"), "of another file")
    for (const name of ["feed.token", "FEED_TOKEN", "feed-token"]) {
      expect(yield* reasonOf(options, name)).toBe("the files FEED_TOKEN and feed.token are both it")
    }
    const variables = { ...options.env, WSM_SECRET_VALUE_feed_token: "x", OTHER: "x", other: "x" }
    const twins = LocalSecrets.twinsOf({ dir, env: variables })
    expect([...twins.files!].sort()).toEqual(["FEED_TOKEN", "feed.token"])
    expect(twins.variables).toEqual(["WSM_SECRET_VALUE_FEED_TOKEN", "WSM_SECRET_VALUE_feed_token"])
    expect(LocalSecrets.twinsOf({ dir: join(dir, "none"), env: {} }).files).toBeUndefined()
  })
)

it.scoped("a file that is no secret's is not read to its end, nor waited for", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    writeFileSync(join(dir, "big"), "x".repeat(64 * 1024 + 1))
    writeFileSync(join(dir, "most"), "x".repeat(64 * 1024))
    execFileSync("mkfifo", [join(dir, "pipe")])
    expect(yield* reasonOf({ dir, env: {} }, "big")).toContain("over 64 KiB")
    expect((yield* valueOf({ dir, env: {} }, "most")).length).toBe(64 * 1024)
    expect(yield* reasonOf({ dir, env: {} }, "pipe")).toMatch(/it is empty|cannot be read/)
  })
)

it.scoped("a rotated secret is seen at the next question", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const { resolve } = LocalSecrets.make({ dir, env: {} })
    for (const value of ["first", "second"]) {
      writeFileSync(join(dir, "token"), value)
      expect(Redacted.value(yield* resolve("token"))).toBe(value)
    }
    rmSync(join(dir, "token"))
    expect((yield* Effect.flip(resolve("token")))._tag).toBe("SecretMissing")
  })
)

it.scoped("no name leads out of the directory", () =>
  Effect.gen(function* () {
    const root = yield* temporaryDirectory
    const dir = join(root, "secrets")
    mkdirSync(dir)
    writeFileSync(join(root, "x"), "outside")
    for (const name of [
      "../x",
      "..",
      ".",
      ".x",
      "",
      "/etc/passwd",
      "a/../../x",
      "x\u0000",
      "x\n",
      "ü",
      "a".repeat(129)
    ]) {
      expect(yield* reasonOf({ dir, env: { WSM_SECRET_VALUE____X: "v" } }, name)).toContain("begins with no dot")
    }
    writeFileSync(join(dir, "a".repeat(128)), "v")
    expect(yield* valueOf({ dir, env: {} }, "a".repeat(128))).toBe("v")
  })
)

it.effect("NAME/KEY says that it needs the dapr backing", () =>
  Effect.map(reasonOf({ dir: "", env: {} }, "store/key"), (reason) =>
    expect(reason).toContain("needs the dapr backing")
  )
)

it.scoped("a file that cannot be read is a missing secret with its reason, not another value", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    mkdirSync(join(dir, "folder"))
    const env = { WSM_SECRET_VALUE_FOLDER: "v" }
    expect(yield* reasonOf({ dir, env }, "folder")).toContain("EISDIR")
  })
)

it.effect("a value never shows in text", () =>
  Effect.gen(function* () {
    const secret = yield* LocalSecrets.make({ dir: "", env: { WSM_SECRET_VALUE_T: "hunter2" } }).resolve("t")
    expect(`${String(secret)} ${JSON.stringify(secret)}`).not.toContain("hunter2")
  })
)
