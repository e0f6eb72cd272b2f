/** What an earlier version with wider limits has stored: read, and acted for as near to what was asked as the limits let it. */
import * as Effect from "effect/Effect"
import { describe, expect, it, type TestContext } from "vitest"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import { CALLER } from "../../src/domain/Limits.js"
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

type Spec = Record<string, any>
const base64 = (text: string) => Buffer.from(text).toString("base64")

/** A connection that a former instance left, its stored spec changed as told, and the instance that takes it over. */
const takenOver = async ({ onTestFinished }: TestContext, change: (spec: Spec) => void) => {
  const backend = new MemoryState.MemoryBackend()
  const server = await ScriptedServer.start()
  server.onOpen = (peer) => peer.ws.send("hello")
  const start = (instanceId: string) =>
    TestManager.start({ stateStore: MemoryState.layer(backend), settings: { instanceId } })
  const former = await start("former")
  const connect = (tags: Record<string, string>) =>
    former.run(former.service.connect({ url: `${server.url}/?a=b`, topic: "t", tags }))
  const { id } = await connect({ is: "changed" })
  const other = await connect({ is: "as ever" })
  await former.stop()
  const entry = backend.entries.get(connectionKey(id))!
  const record = JSON.parse(entry.value)
  change(record.spec)
  backend.entries.set(connectionKey(id), { ...entry, value: JSON.stringify(record) })
  const manager = await start("next")
  onTestFinished(async () => {
    await manager.stop()
    await server.stop()
  })
  const get = (id: string) => manager.run(manager.service.get(id))
  await manager.event(other.id, "connected")
  return { get, id, manager, server, stored: () => JSON.parse(backend.entries.get(connectionKey(id))!.value) }
}

describe("a stored spec", () => {
  it("with times beyond the limits is dialled, with the limits as its times, and stays stored as it was", async (context) => {
    const { id, manager, stored } = await takenOver(context, (spec) => {
      spec.keepAlive = { pingIntervalMs: 1, deadAfterMs: 4_000_000_000, idleAfterMs: 4_000_000_000 }
      spec.reconnect = { baseDelayMs: 4_000_000_000, maxDelayMs: 4_000_000_000, dialTimeoutMs: 4_000_000_000 }
      spec.handshake = [{ expect: { timeoutMs: 4_000_000_000, equals: "hello" } }]
      spec.publishing = { packing: "PACKING_PACKED", lingerMs: 4_000_000_000 }
    })
    await manager.event(id, "connected")
    expect(stored().spec.keepAlive.pingIntervalMs).toBe(1)
  })

  it.for<readonly [what: string, field: string, change: (spec: Spec) => void]>([
    [
      "a text step over its limit",
      "handshake[0].sendText",
      (spec) => {
        spec["handshake"] = [{ sendText: base64("${secret:".repeat(CALLER.TEXT_STEP_BYTES / 8)) }]
      }
    ],
    [
      "thousands of subprotocols",
      "subprotocols",
      (spec) => {
        spec["subprotocols"] = Array.from({ length: 20_000 }, (_, i) => `p${i}`)
      }
    ],
    [
      "hundreds of captures",
      "handshake[0].expect.capture",
      (spec) => {
        spec["handshake"] = [{ expect: { capture: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`c${i}`, "$.a"])) } }] // prettier-ignore
      }
    ],
    [
      "a path of thousands of steps",
      "correlation.replyPath",
      (spec) => {
        spec["correlation"] = { replyPath: `$${"[0]".repeat(50_000)}` }
      }
    ],
    [
      "a URL that is none",
      "url",
      (spec) => {
        spec["url"] = `ws://user:pass@/${"?token=1;".repeat(10_000)}`
      }
    ]
  ])(
    "with %s is shown as failed, with the reason, is not dialled, and can be removed",
    async ([, field, change], context) => {
      const { get, id, manager, server } = await takenOver(context, change)
      const { attributes } = await manager.event(id, "failed")
      expect(attributes["reason"]).toContain(field)
      expect(await get(id)).toMatchObject({ status: "CONNECTION_STATUS_FAILED", topic: "t", tags: { is: "changed" } })
      expect((await get(id)).lastError).toMatch(/^InvalidRequest: /)
      expect((await get(id)).url).not.toContain("pass")
      const refused = await manager.run(Effect.flip(manager.service.reconnect(id)))
      expect(refused).toMatchObject({ _tag: "InvalidRequest", field })
      expect(server.openings.length).toBe(3)
      await manager.run(manager.service.disconnect({ id }))
      expect((await manager.run(manager.service.list({}))).connections.length).toBe(1)
    }
  )
})
