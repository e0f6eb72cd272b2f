/** A command's line to the manager: calls it, and tells plainly why it cannot. */
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { SettingsError } from "../config/Load.js"
import { isLoopback } from "../common/Hosts.js"
import { secretOf } from "../config/SecretFile.js"
import type { ManagerError } from "../domain/Errors.js"
import type { ManagerClient } from "../rpc/Client.js"
import { CliHost, type OutputClosed } from "./CliHost.js"
import { CommandFailed, describe, UsageError } from "./Failure.js"
import { plain } from "./Text.js"
import { serverUrl } from "./Values.js"

export const DEFAULT_SERVER = "http://127.0.0.1:5001"

/** What a command's own part may fail with. */
type UseError = ManagerError | RpcClientError | CommandFailed | OutputClosed

/**
 * Calls the manager that `--server` or WSM_SERVER names, with the token of WSM_API_TOKEN or of the file of
 * WSM_API_TOKEN_FILE. Every way it can fail becomes the
 * one line that a person reads.
 */
export const withManager = <A>(
  server: string | undefined,
  use: (manager: ManagerClient["Type"]) => Effect.Effect<A, UseError, CliHost | Scope.Scope>
): Effect.Effect<A, CommandFailed | UsageError | OutputClosed, CliHost> =>
  Effect.gen(function* () {
    const { complain, env } = yield* CliHost
    const url = yield* address(server, env.WSM_SERVER)
    const given = yield* Either.mapLeft(
      secretOf(env, "WSM_API_TOKEN"),
      (fault) => new UsageError({ line: plain(new SettingsError(fault).message) })
    )
    const token = given === undefined ? undefined : Redacted.make(given.text)
    if (token !== undefined && readable(url)) {
      yield* complain(
        `wsm: warning: the token goes to ${plain(url)} as it is, for everybody on the way to read: use https`
      )
    }
    // loaded here and not above: help and usage errors do without it
    const { layer, ManagerClient } = yield* Effect.promise(() => import("../rpc/Client.js"))
    return yield* Effect.flatMap(ManagerClient, use).pipe(
      Effect.scoped,
      Effect.provide(layer({ url, token })),
      Effect.catchAll((error) => {
        switch (error._tag) {
          case "OutputClosed":
          case "CommandFailed":
            return Effect.fail(error)
          case "RpcClientError":
            return Effect.fail(new CommandFailed({ line: unreachable(url, error) }))
          default:
            return Effect.fail(new CommandFailed({ line: describe(error) }))
        }
      })
    )
  })

/** Whether others than this host see what goes there. */
const readable = (url: string): boolean => {
  const { hostname, protocol } = new URL(url)
  return protocol === "http:" && !isLoopback(hostname)
}

/** No link, or a link that broke: only the second had a manager at its other end. */
const unreachable = (url: string, error: RpcClientError): string =>
  (error.cause as { readonly reason?: string } | undefined)?.reason === "Close"
    ? `the link to the manager at ${url} broke: run the command again when the manager is back`
    : `${plain(error.message)}, or name another with --server`

const address = (server: string | undefined, variable: string | undefined): Effect.Effect<string, UsageError> => {
  if (server !== undefined) return Effect.succeed(server)
  if (variable === undefined || variable === "") return Effect.succeed(DEFAULT_SERVER)
  return Either.mapLeft(
    serverUrl(variable),
    (rule) => new UsageError({ line: `WSM_SERVER cannot be '${plain(variable)}': ${rule}` })
  )
}
