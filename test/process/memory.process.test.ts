/** A heap, or a container, that is nearly full: what is refused, and what still answers. Real processes, under a small heap limit. */
import { join } from "node:path"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { built } from "../cli/runWsm.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { afterwards, cleanUp, Instance, sleep, temporaryFolder, until } from "./instanceProcess.js"

const HOOK = join(import.meta.dirname, "../support/fillHeap.mjs")
const LONG = 60_000

beforeAll(built, 120_000)
afterEach(cleanUp)

const HEAP = { NODE_OPTIONS: `--max-old-space-size=160 --import=${HOOK}` }
/** Far less than the heap may have. */
const CONTAINER = { NODE_OPTIONS: `--import=${HOOK}`, MEMORY_LIMIT: String(400 * 1024 * 1024) }

const bench = async (percent: number, under: Readonly<Record<string, string>> = HEAP) => {
  const server = await ScriptedServer.start()
  afterwards(() => server.stop())
  const instance = await Instance.start({
    WSM_DATA_DIR: temporaryFolder(),
    ...under,
    HEAP_PERCENT: String(percent)
  })
  const health = async () =>
    (await (await fetch(`${instance.url}/health`)).json()) as {
      status: string
      dependencies: ReadonlyArray<{ name: string; detail: string }>
    }
  const memory = async () => (await health()).dependencies.find(({ name }) => name === "memory")
  return { server, instance, health, memory }
}

describe("a heap that is nearly full", () => {
  it("refuses new calls, says so, and takes them again once there is room", { timeout: 3 * LONG }, async () => {
    const { health, instance, memory, server } = await bench(91)
    const { id } = await instance.connect({ url: server.url })
    instance.signal("SIGUSR2")
    await until(async () => (await memory()) !== undefined, "/health says that memory is short", LONG)
    expect((await health()).status).toBe("degraded")
    const refusal = await instance.refused((client) => client.Connect({ url: server.url }))
    expect(refusal).toMatchObject({ _tag: "QuotaExceeded", quota: "memory" })
    const rest = await fetch(`${instance.url}/metrics`)
    expect(await rest.text()).toMatch(/websocketmanager_heap_used_ratio 0\.[89]/)
    // what sets memory free is let through
    await instance.call((client) => client.Disconnect({ id }))
    instance.signal("SIGUSR2")
    await until(async () => (await memory()) === undefined, "there is room again", LONG)
    await instance.connect({ url: server.url })
  })

  it("of garbage alone is not full", { timeout: 2 * LONG }, async () => {
    const { instance, memory, server } = await bench(60)
    instance.signal("SIGUSR2")
    for (let i = 0; i < 20; i++) {
      await sleep(200)
      expect(await memory()).toBeUndefined()
    }
    await instance.connect({ url: server.url })
  })
})

describe("a container that is nearly full of buffers, the heap being empty", () => {
  it("has new calls refused, until what was buffered is gone", { timeout: 3 * LONG }, async () => {
    const { instance, memory, server } = await bench(92, CONTAINER)
    const { id } = await instance.connect({ url: server.url })
    expect(await memory()).toBeUndefined()
    instance.signal("SIGUSR2")
    await until(async () => (await memory()) !== undefined, "/health says that memory is short", LONG)
    expect((await memory())?.detail).toMatch(/^\d+ % of the memory limit: new calls are refused/)
    const refusal = await instance.refused((client) => client.Connect({ url: server.url }))
    expect(refusal).toMatchObject({ _tag: "QuotaExceeded", quota: "memory" })
    await instance.call((client) => client.Disconnect({ id }))
    // resident memory need not become less
    instance.signal("SIGUSR2")
    await until(async () => (await memory()) === undefined, "there is room again", LONG)
    await instance.connect({ url: server.url })
  })
})
