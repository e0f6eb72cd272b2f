/** The ground of tests about one process alone: a server to dial, and settings of an instance that keeps its state in a file. */
import { afterEach, beforeAll, beforeEach } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, temporaryFolder } from "./instanceProcess.js"

export interface LoneInstance {
  readonly server: ScriptedServer
  readonly env: Readonly<Record<string, string>>
}

/** Made anew for each test, and handed to it before it begins; all processes end after it. */
export const loneInstance = (given: (made: LoneInstance) => void): void => {
  beforeAll(built, 120_000)
  beforeEach(async () => {
    const server = await ScriptedServer.start()
    afterwards(() => server.stop())
    given({ server, env: { WSM_DATA_DIR: temporaryFolder(), WSM_INSTANCE_ID: "one" } })
  })
  afterEach(cleanUp)
}
