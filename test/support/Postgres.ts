/** A real PostgreSQL with a database of its own on a free loopback port, gone with the scope. */
import { execFile, execFileSync } from "node:child_process"
import { chownSync, existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./Ports.js"
import { asked, find, ProcessFailed, type Server, serverFolder, startServer } from "./processes.js"

export interface Postgres extends Server {
  readonly port: number
  /** `host=… port=… user=… dbname=… sslmode=disable` */
  readonly connectionString: string
  /** one statement; the rows as `psql` prints them unaligned, fields parted by `|` */
  readonly query: (sql: string) => Effect.Effect<string, ProcessFailed>
}

const USER = "wsm"
const DATABASE = "postgres"
const DEBIAN = "/usr/lib/postgresql"

const program = (name: string): string | undefined => {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).toSorted((a, b) => Number(b) - Number(a)) : []
  return find(
    name,
    versions.map((version) => join(DEBIAN, version, "bin"))
  )
}

export const postgresAvailable = (): boolean =>
  ["initdb", "postgres", "psql"].every((name) => program(name) !== undefined)

export const startPostgres: Effect.Effect<Postgres, ProcessFailed, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* serverFolder("postgres")
  const data = join(folder, "data")
  const port = yield* freePort
  const connectionString = `host=127.0.0.1 port=${port} user=${USER} dbname=${DATABASE} sslmode=disable`
  const psql = (sql: string): Promise<string> =>
    promisify(execFile)(program("psql")!, ["-X", "-A", "-t", "-c", sql, connectionString]).then(({ stdout }) =>
      stdout.trimEnd()
    )
  const user = ordinaryUser()
  yield* Effect.tryPromise({
    try: async () => {
      mkdirSync(data)
      if (user !== undefined) for (const path of [folder, data]) chownSync(path, user.uid, user.gid)
      const args = ["-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
      await promisify(execFile)(program("initdb") ?? "initdb", args, { cwd: folder, ...user })
    },
    catch: (cause) => new ProcessFailed({ message: `initdb failed: ${String(cause)}` })
  })
  const server = yield* startServer({
    name: "postgres",
    command: program("postgres") ?? "postgres",
    folder,
    // Without fsync, what it has written survives its own death, only not the machine's.
    args: ["-D", data, "-h", "127.0.0.1", "-p", `${port}`, "-k", "", "-F", "-N", "200"],
    ...(user === undefined ? undefined : { user }),
    // Told to be fast: it ends its clients' sessions instead of waiting for them to go.
    stopSignal: "SIGINT",
    ready: async () => (await psql("select 1")) === "1"
  })
  return {
    ...server,
    port,
    connectionString,
    query: (sql) => asked(() => psql(sql))
  }
})

/** PostgreSQL refuses to run as root. */
const ordinaryUser = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string): number => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}
