/** What is secret on a command line: it comes from files and variables, goes where it should, and is not said again. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FakeDoors from "../support/FakeDoors.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"
import { wsm } from "./runWsm.js"

const SECRET = "hunter2-hunter2"

describe("a secret on a command line", () => {
  it.live.each([
    `serve --api-token ${SECRET}`,
    `serve --api-token=${SECRET}`,
    `--api-token ${SECRET} serve`,
    `check-config --dapr-api-token ${SECRET}`,
    `ls --app-api-token=${SECRET}`
  ])("%s is refused, with what to use in its place, and not repeated", (line) =>
    Effect.gen(function* () {
      const ran = yield* wsm(line.split(" "))
      assert.deepStrictEqual([ran.status, ran.out], [2, ""])
      assert.match(ran.err, /^wsm: there is no '--(dapr-|app-)?api-token', [^\n]+ use (WSM|DAPR|APP)_API_TOKEN, or (WSM|DAPR|APP)_API_TOKEN_FILE [^\n]+\n$/) // prettier-ignore
      assert.notInclude(ran.err, SECRET)
    })
  )

  it.live("is no option of any help", () =>
    Effect.gen(function* () {
      for (const command of ["serve", "check-config"]) {
        assert.notInclude((yield* wsm([command, "--help"])).out, "api-token")
      }
    })
  )

  it.scopedLive("is a header or a message that stands in a file, or comes from standard input", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const { log, url } = yield* FakeDoors.start()
      writeFileSync(join(dir, "header"), `Bearer ${SECRET}\n`)
      writeFileSync(join(dir, "login"), `{"login":"${SECRET}"}\n`)
      const call = (words: ReadonlyArray<string>, stdin = "") =>
        wsm(["connect", "wss://feed.example/", ...words], { env: { WSM_SERVER: url }, stdin })
      const asked = () => {
        const { handshake, headers } = log.connects.at(-1) as {
          readonly headers: Record<string, string>
          readonly handshake: ReadonlyArray<{ readonly sendText: Uint8Array }>
        }
        return { headers, sent: handshake.map(({ sendText }) => Buffer.from(sendText).toString()) }
      }
      const files = ["--header", `A=@${join(dir, "header")}`, "--send", `@${join(dir, "login")}`, "--send", "-"]
      assert.strictEqual((yield* call(files, "from stdin")).status, 0)
      assert.deepStrictEqual(asked(), {
        headers: { A: `Bearer ${SECRET}` },
        sent: [`{"login":"${SECRET}"}\n`, "from stdin"]
      })
      const literal = ["--header", "A=@@x", "--header", "B=a@b", "--header", "C=-", "--send", "@@y", "--send", "--"]
      assert.strictEqual((yield* call(literal)).status, 0)
      assert.deepStrictEqual(asked(), { headers: { A: "@x", B: "a@b", C: "-" }, sent: ["@y", "--"] })
      assert.strictEqual((yield* call(["--header", "A=@-"], `${SECRET}\n`)).status, 0)
      assert.deepStrictEqual(asked().headers, { A: SECRET })
      for (const [words, why] of [
        [["--header", `A=@${join(dir, "none")}`], "ENOENT"],
        [["--send", `@${dir}`], "EISDIR"],
        [["--send", "-", "--header", "A=@-"], "standard input is asked for twice"]
      ] as const) {
        const ran = yield* call(words)
        assert.deepStrictEqual([ran.status, ran.out], [2, ""])
        assert.include(ran.err, why)
      }
    })
  )

  it.scopedLive("is the token of the file that WSM_API_TOKEN_FILE names", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const { url } = yield* FakeDoors.start({ settings: { apiToken: Redacted.make(SECRET) } })
      const file = join(dir, "token")
      writeFileSync(file, `${SECRET}\n`)
      const call = (env: Record<string, string>) => wsm(["get", "x"], { env: { WSM_SERVER: url, ...env } })
      assert.strictEqual((yield* call({ WSM_API_TOKEN_FILE: file })).status, 0)
      const both = yield* call({ WSM_API_TOKEN_FILE: file, WSM_API_TOKEN: SECRET })
      assert.deepStrictEqual([both.status, both.err], [2, `wsm: WSM_API_TOKEN_FILE=${file} is refused: it must not be given beside WSM_API_TOKEN\n`]) // prettier-ignore
      assert.match((yield* call({ WSM_API_TOKEN_FILE: join(dir, "none") })).err, /ENOENT\n$/)
    })
  )

  it.live("is warned of where others can read the token on its way", () =>
    Effect.gen(function* () {
      const warned = (server: string, env: Record<string, string> = { WSM_API_TOKEN: SECRET }) =>
        Effect.map(Effect.timeoutOption(wsm(["ls", "--server", server], { env }), "5 seconds"), (ran) =>
          ran._tag === "Some" ? ran.value.err : ""
        )
      const said = yield* warned("http://0.0.0.0:1")
      assert.match(said, /^wsm: warning: the token goes to http:\/\/0\.0\.0\.0:1 as it is, [^\n]+ use https\n/)
      assert.notInclude(said, SECRET)
      assert.notInclude(yield* warned("http://127.0.0.1:1"), "warning")
      assert.notInclude(yield* warned("http://localhost:1"), "warning")
      assert.notInclude(yield* warned("http://0.0.0.0:1", {}), "warning")
    })
  )
})
