/** A copy of the embedded store, made beside the instances that use it. */
import { existsSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as FileState from "../adapters/embedded/FileState.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import { NotAvailable, type StateStoreUnavailable } from "../domain/Errors.js"

/** Into a new file; answers with its size in bytes. Fails with NotAvailable where there is nothing that a file could hold. */
export const backup = (
  { backing, dataDir }: SettingsShape,
  file: string
): Effect.Effect<number, NotAvailable | StateStoreUnavailable> => {
  const refuse = (reason: string) => Effect.fail(new NotAvailable({ feature: "backup", reason }))
  if (backing === "dapr")
    return refuse("with WSM_BACKING=dapr the state is in Dapr's state store: back that up by its own means")
  if (dataDir === "") return refuse("WSM_DATA_DIR is empty: the state is in memory only")
  if (existsSync(file)) return refuse(`${file} is there already, and nothing is written over`)
  return FileState.backup(dataDir, file)
}
