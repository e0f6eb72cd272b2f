/** One manager of its own, on a store of its own that fails as told, with a server of its own. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { TestContext } from "vitest"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import * as FaultyState from "../support/FaultyStateStore.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager, type TestManagerOptions } from "../support/TestManager.js"

export const alone = async ({ onTestFinished }: TestContext, options: Omit<TestManagerOptions, "stateStore">) => {
  const backend = new MemoryBackend()
  const scope = Effect.runSync(Scope.make())
  const faults = await Effect.runPromise(Scope.extend(FaultyState.make(backend), scope))
  const server = await ScriptedServer.start()
  const manager = await TestManager.start({ ...options, stateStore: faults.layer })
  onTestFinished(async () => {
    faults.heal()
    await manager.stop()
    await server.stop()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })
  const connect = async (request: Partial<ConnectRequest> = {}) => {
    const { connection } = await manager.run(
      manager.service.connect({ url: server.url, reconnect: { baseDelayMs: 20, maxDelayMs: 40 }, ...request })
    )
    return connection
  }
  return { backend, connect, faults, manager, server }
}
