/** Secrets through the sidecar's secret store: what is sent to a peer, what is said when one is missing, and where it never shows. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeAll, expect } from "vitest"
import { it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as DaprSecrets from "../../src/adapters/dapr/DaprSecrets.js"
import * as Sidecar from "../../src/adapters/dapr/Sidecar.js"
import * as LocalSecrets from "../../src/adapters/secrets/LocalSecrets.js"
import { Secrets } from "../../src/ports/Secrets.js"
import { built } from "../cli/runWsm.js"
import { cleanUp, Instance } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import { requiring } from "../support/Requirements.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { type Sidecar as Running, startSidecar } from "../support/Sidecar.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"
import { beside, scoped } from "./besideSidecar.js"

const TIMEOUT = 60_000

/** A secret store whose secrets have keys, as Kubernetes and Vault have them. */
const store = (file: string) => C.secretsFile(file, { metadata: { multiValued: "true" } })

const withFile = Effect.map(temporaryDirectory, (folder) => {
  const file = join(folder, "secrets.json")
  const write = (secrets: object) => writeFileSync(file, JSON.stringify(secrets))
  write({ feed: { token: "t0k-1\n", user: "u", empty: "" }, "other.feed_2": { token: "t0k-2" } })
  return { file, write, folder }
})

const secretsOf = (
  sidecar: Pick<Running, "httpPort" | "grpcPort">,
  options: Partial<DaprSecrets.DaprSecretsOptions> = {},
  token?: string
) =>
  Layer.build(
    DaprSecrets.layer({
      component: C.SECRETS,
      local: LocalSecrets.make({ dir: "", env: { WSM_SECRET_VALUE_FEED: "of this host" } }),
      ...options
    }).pipe(
      Layer.provide(
        Sidecar.layer({
          endpoint: {
            host: "127.0.0.1",
            httpPort: sidecar.httpPort,
            grpcPort: sidecar.grpcPort,
            apiToken: token === undefined ? undefined : Redacted.make(token)
          },
          needs: [],
          wait: Duration.seconds(5)
        })
      )
    )
  ).pipe(
    Effect.map((context) => ({
      value: (name: string) =>
        Effect.flatMap(Secrets, ({ resolve }) => Effect.map(resolve(name), Redacted.value)).pipe(
          Effect.provide(context)
        ),
      reason: (name: string) =>
        Effect.flatMap(Secrets, ({ resolve }) => Effect.flip(resolve(name))).pipe(
          Effect.provide(context),
          Effect.map((error) => {
            expect(error).toMatchObject({ _tag: "SecretMissing", name })
            return error.reason
          })
        )
    }))
  )

requiring("daprd")("a secret of the sidecar's store", () => {
  it.scopedLive(
    "NAME/KEY is the value of KEY in the secret NAME, without its last line break; NAME alone is one of this host",
    () =>
      Effect.gen(function* () {
        const { file } = yield* withFile
        const sidecar = yield* startSidecar({ resources: [store(file)], apiToken: "tok" })
        const secrets = yield* secretsOf(sidecar, {}, "tok")
        expect(yield* secrets.value("feed/token")).toBe("t0k-1")
        expect(yield* secrets.value("feed/user")).toBe("u")
        expect(yield* secrets.value("other.feed_2/token")).toBe("t0k-2")
        expect(yield* secrets.value("feed")).toBe("of this host")
      }),
    TIMEOUT
  )

  it.scopedLive(
    "one that is missing says what is missing, where, and no value",
    () =>
      Effect.gen(function* () {
        const { file } = yield* withFile
        const sidecar = yield* startSidecar({ resources: [store(file)] })
        const secrets = yield* secretsOf(sidecar)
        expect(yield* secrets.reason("feed/none")).toMatch(
          /wsm-secrets \(WSM_SECRET_STORE\) has .*feed.*no text at key none/
        )
        expect(yield* secrets.reason("feed/toString")).toContain("no text at key toString")
        expect(yield* secrets.reason("feed/empty")).toBe("it is empty")
        expect(yield* secrets.reason("none/token")).toMatch(/wsm-secrets \(WSM_SECRET_STORE\).*none/)
        for (const name of ["a/b/c", "/token", "feed/", "../x", "feed/..", "fe ed/token"]) {
          expect(yield* secrets.reason(name)).toContain("a name is 1-128 of")
        }
        expect(yield* secrets.reason("gone")).toContain("WSM_SECRET_VALUE_GONE")
        const elsewhere = yield* secretsOf(sidecar, { component: "vault" })
        expect(yield* elsewhere.reason("feed/token")).toMatch(/no secret store vault \(WSM_SECRET_STORE\)/)
        const bare = yield* secretsOf(yield* startSidecar({ appId: "bare" }))
        expect(yield* bare.reason("feed/token")).toMatch(/no secret store wsm-secrets \(WSM_SECRET_STORE\)/)
      }),
    TIMEOUT
  )

  it.scopedLive(
    "a sidecar that does not answer costs no more than the deadline, one that is gone nothing",
    () =>
      Effect.gen(function* () {
        const { file } = yield* withFile
        const sidecar = yield* startSidecar({ resources: [store(file)] })
        const proxy = yield* StallingProxy.start(sidecar.httpPort)
        const secrets = yield* secretsOf({ httpPort: proxy.port, grpcPort: sidecar.grpcPort }, { deadline: 300 })
        expect(yield* secrets.value("feed/token")).toBe("t0k-1")
        yield* proxy.stall
        const began = Date.now()
        expect(yield* secrets.reason("feed/token")).toContain("no answer within 0.3 s")
        expect(Date.now() - began).toBeLessThan(3000)
        yield* proxy.refuse
        expect(yield* secrets.reason("feed/token")).toContain("was not reached")
      }),
    TIMEOUT
  )
})

requiring("daprd")("a process with secrets of the sidecar's store", () => {
  beforeAll(built, 120_000)
  afterEach(cleanUp)

  it.scopedLive(
    "sends them to the peer, a rotated one at the next dial, and shows them nowhere",
    () =>
      Effect.gen(function* () {
        const { file, folder, write } = yield* withFile
        const sidecar = yield* startSidecar({
          resources: [C.stateSqlite(join(folder, "state.db")), C.pubsubInMemory(), store(file)]
        })
        const server = yield* scoped(
          () => ScriptedServer.start(),
          (server) => server.stop()
        )
        const instance = yield* Effect.promise(() => Instance.start(beside(sidecar, { WSM_LOG_LEVEL: "trace" })))
        const headers = { authorization: "Bearer ${secret:feed/token}" }
        const connection = yield* Effect.promise(() => instance.connect({ url: server.url, headers, topic: "t" }))
        expect(server.last.headers.authorization).toBe("Bearer t0k-1")

        write({ feed: { token: "t0k-9" } })
        yield* sidecar.stop
        yield* sidecar.start
        yield* Effect.promise(() => instance.call((client) => client.Reconnect({ id: connection.id })))
        expect(server.last.headers.authorization).toBe("Bearer t0k-9")

        const failed = yield* Effect.promise(() =>
          instance.refused((client) => client.Connect({ url: server.url, headers: { "x-a": "secret:feed/none" } }))
        )
        expect(failed).toMatchObject({ _tag: "DialFailed", kind: "secret" })
        expect(JSON.stringify(failed)).toContain("feed/none")

        const { err, out } = instance.process.output
        const listed = JSON.stringify(yield* Effect.promise(() => instance.list()))
        const key = encodeURIComponent(`websocketmanager/connections/${connection.id}`)
        const record = yield* Effect.promise(async () =>
          (await fetch(`${sidecar.url}/v1.0/state/${C.STATE}/${key}`)).text()
        )
        for (const text of [err, out, listed, record]) {
          expect(text).not.toContain("t0k-")
        }
      }),
    TIMEOUT
  )
})
