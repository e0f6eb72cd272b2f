/**
 * What the instances of a fleet know each other by: WSM_PEER_SECRET; or what lies in the data folder that they share; or
 * else what follows from the API token. A fleet that has none of these goes by the records in the store alone.
 */
import { randomUUID } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as PeerSecret from "../adapters/embedded/PeerSecret.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import { StateStoreUnavailable } from "../domain/Errors.js"
import { keyOf, type Keys } from "../rpc/PeerProof.js"

/** How often it is looked whether the file in the data folder is still there. */
const KEY_FILE_POLL_INTERVAL = "1 second"

/** `folder`: the fleet is the one over the data folder of the settings. */
export const of = (
  { apiToken, dataDir, peerSecret }: SettingsShape,
  folder: boolean
): Effect.Effect<Keys, StateStoreUnavailable, Scope.Scope> => {
  if (peerSecret !== undefined) return Effect.succeed(Redacted.value(peerSecret).split(",").map(keyOf))
  if (!folder) return Effect.succeed([keyOf(apiToken === undefined ? "no secret" : Redacted.value(apiToken))])
  // kept in memory, it has no peers
  return dataDir === "" ? Effect.succeed([keyOf(randomUUID())]) : ofFolder(dataDir)
}

const ofFolder = (dataDir: string): Effect.Effect<Keys, StateStoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const secret = yield* attempt(() => PeerSecret.read(dataDir))
    const kept = Effect.ignore(attempt(() => PeerSecret.keep(dataDir, secret)))
    yield* Effect.forkScoped(Effect.repeat(kept, Schedule.spaced(KEY_FILE_POLL_INTERVAL)))
    return [keyOf(secret)]
  })

const attempt = <A>(body: () => A): Effect.Effect<A, StateStoreUnavailable> =>
  Effect.try({
    try: body,
    catch: (error) =>
      error instanceof StateStoreUnavailable
        ? error
        : new StateStoreUnavailable({ reason: error instanceof Error ? error.message : String(error) })
  })
