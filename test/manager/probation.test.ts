/** Suspects wait for their turn: who asks for one meanwhile has it at once, and keeps it. */
import { expect, it } from "vitest"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { connectionKey, instanceKey } from "../../src/domain/stored/Keys.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

it("a suspect that is reconnected before its turn is dialled once, and its socket is not cut when the turn comes", async ({
  onTestFinished
}) => {
  const backend = new MemoryState.MemoryBackend()
  const server = await ScriptedServer.start()
  const start = (instanceId: string) =>
    TestManager.start({ stateStore: MemoryState.layer(backend), settings: { instanceId } })
  const former = await start("former")
  const ids: Array<string> = []
  for (const tag of ["as ever", "suspect", "suspect", "suspect"]) {
    ids.push(
      (await former.run(former.service.connect({ url: `${server.url}/?symbol=${ids.length}`, tags: { tag } }))).id
    )
  }
  await former.stop()
  const change = (key: string, how: (value: any) => void) => {
    const entry = backend.entries.get(key)!
    const value = JSON.parse(entry.value)
    how(value)
    backend.entries.set(key, { ...entry, value: JSON.stringify(value) })
  }
  // as one that was killed while it tried them would leave it
  change(instanceKey("former"), (heartbeat) => (heartbeat.status = "dead"))
  const suspects = ids.slice(1)
  for (const id of suspects) change(connectionKey(id), (record) => (record.trial = { deaths: 1 }))

  // as long as the dial of the other one lasts nobody has a turn
  server.acceptAfter(1500)
  const manager = await start("next")
  onTestFinished(async () => {
    await manager.stop()
    await server.stop()
  })
  const times = (id: string) => manager.types(id).filter((type) => type === "connecting").length
  const trialOf = (id: string) => JSON.parse(backend.entries.get(connectionKey(id))!.value).trial
  await server.until(() => server.openings.length === 5)
  server.accept()
  for (const id of suspects) await manager.event(id, "claimed")
  expect(suspects.map(times)).toEqual([0, 0, 0])
  for (const id of suspects.slice(0, 2)) await manager.run(manager.service.reconnect(id))
  await manager.event(suspects[2]!, "connected")
  await manager.until(() => ids.every((id) => trialOf(id) === undefined), "all of them are harmless", 15_000)
  expect(ids.map(times)).toEqual([1, 1, 1, 1])
  expect(server.connections()).toBe(4)
}, 40_000)
