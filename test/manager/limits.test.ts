/** What is bounded: a page of a List, the wait of a Connect. */
import * as Effect from "effect/Effect"
import { describe, expect, it, type TestContext } from "vitest"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

const arranged = async ({ onTestFinished }: TestContext, settings: Partial<SettingsShape> = {}) => {
  const server = await ScriptedServer.start()
  const manager = await TestManager.start({ settings })
  onTestFinished(async () => {
    await manager.stop()
    await server.stop()
  })
  const connectMany = (n: number, request: object) =>
    manager.run(
      Effect.all(
        Array.from({ length: n }, () => manager.service.connect({ url: server.url, ...request })),
        { concurrency: "unbounded" }
      )
    )
  return { connectMany, manager, server }
}

const MIB = 1024 * 1024

describe("a page of a List", () => {
  it("ends at 3 MiB, not before and not after, and the next one goes on", async (test) => {
    const { connectMany, manager } = await arranged(test)
    const tags = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, "x".repeat(1024)]))
    await connectMany(80, { tags })
    const first = await manager.run(manager.service.list({ pageSize: 1000 }))
    const bytes = Buffer.byteLength(JSON.stringify(first.connections))
    expect(bytes).toBeGreaterThan(2.9 * MIB)
    expect(bytes).toBeLessThanOrEqual(3 * MIB)
    const second = await manager.run(manager.service.list({ pageSize: 1000, pageToken: first.nextPageToken }))
    expect(new Set([...first.connections, ...second.connections].map(({ id }) => id)).size).toBe(80)
    expect(second.nextPageToken).toBe("")
  })
})

describe("many Lists at once", () => {
  it("are made over several turns of the event loop, so that what renews the lease gets between", async (test) => {
    const { connectMany, manager } = await arranged(test)
    await connectMany(3, {})
    await manager.run(manager.service.list({}))
    let turns = 0
    let done = false
    const count = (): void => {
      turns++
      if (!done) setImmediate(count)
    }
    setImmediate(count)
    const lists = Array.from({ length: 64 }, () => manager.service.list({}))
    const answers = await manager.run(Effect.all(lists, { concurrency: "unbounded" }))
    done = true
    expect(answers.every(({ connections }) => connections.length === 3)).toBe(true)
    expect(turns).toBeGreaterThanOrEqual(7)
  })
})

describe("the dial budget", () => {
  it("refuses only who waits for the open: without await_open a Connect has no deadline for it", async (test) => {
    const { connectMany, manager, server } = await arranged(test, { dialRatePerHost: 0.01 })
    await connectMany(1, {})
    const error = await manager.refused(manager.service.connect({ url: server.url }))
    expect(error).toMatchObject({ _tag: "QuotaExceeded" })
    const [kept] = await connectMany(1, { awaitOpen: false })
    expect(kept).toMatchObject({ status: "CONNECTION_STATUS_CONNECTING" })
  })
})
