/** A manager and a server of its own, made anew for each test of a file. */
import { afterEach, beforeEach } from "vitest"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

/** To be called once a file; what it gives is there while a test runs. */
export const managerAndServer = (): { readonly manager: TestManager; readonly server: ScriptedServer } => {
  const here = {} as { manager: TestManager; server: ScriptedServer }
  beforeEach(async () => {
    here.server = await ScriptedServer.start()
    here.manager = await TestManager.start()
  })
  afterEach(async () => {
    await here.manager.stop()
    await here.server.stop()
  })
  return here
}
