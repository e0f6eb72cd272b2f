/**
 * What the instances of a fleet know each other by: WSM_PEER_SECRET; or what lies in the data folder that they share; or else
 * what follows from the API token. A fleet without any of them has the records in the store to go by, and nothing else.
 */
import { randomUUID } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as PeerSecret from "../adapters/embedded/PeerSecret.js"
import { type Keys, keyOf } from "../api/rpc/PeerProof.js"
import type { SettingsShape } from "../config/Settings.js"
import { StateStoreUnavailable } from "../domain/Errors.js"

/** `folder`: the fleet is the one over the data folder of the settings. */
export const of = (
  { apiToken, dataDir, peerSecret }: SettingsShape,
  folder: boolean
): Effect.Effect<Keys, StateStoreUnavailable> =>
  Effect.try({
    try: () => {
      if (peerSecret !== undefined) return Redacted.value(peerSecret).split(",").map(keyOf)
      // kept in memory, it has no peers
      if (folder) return [keyOf(dataDir === "" ? randomUUID() : PeerSecret.read(dataDir))]
      return [keyOf(apiToken === undefined ? "no secret" : Redacted.value(apiToken))]
    },
    catch: (error) =>
      error instanceof StateStoreUnavailable
        ? error
        : new StateStoreUnavailable({ reason: error instanceof Error ? error.message : String(error) })
  })
