/** Get, List and Watch speak of the whole fleet, from any instance. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import type { Connection, ListRequest, WatchRequest, WatchResponse } from "../../src/domain/Messages.js"
import { type Node, startFleet } from "./managerFleet.js"

const pagesOf = async (
  { manager, service }: Node,
  request: ListRequest,
  between: () => Promise<void> = async () => {}
) => {
  const pages: Array<ReadonlyArray<Connection>> = []
  for (let pageToken = ""; ;) {
    const page = await manager.run(service.list({ ...request, pageToken }))
    pages.push(page.connections)
    pageToken = page.nextPageToken
    if (pageToken === "") return pages
    await between()
  }
}
const idsOf = (pages: ReadonlyArray<ReadonlyArray<Connection>>) => pages.flat().map(({ id }) => id)

describe.concurrent("List over the fleet", () => {
  it("tells of every connection once, in the same order from every instance, in pages of any size", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"])
    const made = await Promise.all(
      Array.from({ length: 12 }, (_, i) => fleet.connect(fleet.nodes[i % 3]!, { tags: { n: String(i % 2) } }))
    )
    const all = made.map(({ id }) => id).sort()
    for (const node of fleet.nodes) {
      for (const pageSize of [1, 5, 12, 100]) {
        const pages = await pagesOf(node, { pageSize })
        expect(idsOf(pages)).toEqual(all)
        expect(pages.slice(0, -1).every((page) => page.length === pageSize)).toBe(true)
      }
      const even = made.filter((_, i) => i % 2 === 0).map(({ id }) => id)
      expect(idsOf(await pagesOf(node, { pageSize: 2, filters: [{ key: "n", value: "0" }] }))).toEqual(even.sort())
      const ofB = made.filter(({ instanceId }) => instanceId === "b").map(({ id }) => id)
      expect(idsOf(await pagesOf(node, { pageSize: 3, instanceId: "b" }))).toEqual(ofB.sort())
      expect(idsOf(await pagesOf(node, { instanceId: "nobody" }))).toEqual([])
    }
  })

  it("ends a page early at 3 MiB, and leaves nothing out", { timeout: 30_000 }, async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const tags = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, "x".repeat(1000)]))
    const made = await Promise.all(Array.from({ length: 80 }, (_, i) => fleet.connect(fleet.nodes[i % 2]!, { tags })))
    const pages = await pagesOf(fleet.nodes[0]!, { pageSize: 1000 })
    expect(pages.length).toBeGreaterThan(1)
    for (const page of pages) expect(JSON.stringify(page).length).toBeLessThan(3.2 * 1024 * 1024)
    expect(idsOf(pages)).toEqual(made.map(({ id }) => id).sort())
  })

  it("lists an instance that does not answer within a second from its records", async (context) => {
    const fleet = await startFleet(context, ["a", "b", "c"], { heartbeatTtl: Duration.seconds(20) })
    const made = await Promise.all(Array.from({ length: 9 }, (_, i) => fleet.connect(fleet.nodes[i % 3]!)))
    const silent = fleet.nodes[2]!
    fleet.network.cut(fleet.nodes[0]!.address, silent.address)
    const started = Date.now()
    const pages = await pagesOf(fleet.nodes[0]!, { pageSize: 100 })
    expect(Date.now() - started).toBeLessThan(2500)
    expect(idsOf(pages)).toEqual(made.map(({ id }) => id).sort())
    expect(new Set(pages.flat().map(({ instanceId }) => instanceId))).toEqual(new Set(["a", "b", "c"]))
  })

  it(
    "misses nobody and repeats nobody while a dead instance's connections are taken over",
    { timeout: 30_000 },
    async (context) => {
      const fleet = await startFleet(context, ["a", "b", "c"])
      const made = await Promise.all(Array.from({ length: 18 }, (_, i) => fleet.connect(fleet.nodes[i % 3]!)))
      let crashed = false
      const pages = await pagesOf(fleet.nodes[0]!, { pageSize: 2 }, async () => {
        if (!crashed) fleet.crash(fleet.nodes[2]!)
        crashed = true
        await new Promise((resolve) => setTimeout(resolve, 150))
      })
      expect(idsOf(pages)).toEqual(made.map(({ id }) => id).sort())
    }
  )

  it("works while the store is away, from those who answer", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const made = await Promise.all(Array.from({ length: 4 }, (_, i) => fleet.connect(fleet.nodes[i % 2]!)))
    for (const { faults } of fleet.nodes) faults.unavailable = true
    expect(idsOf(await pagesOf(fleet.nodes[0]!, {}))).toEqual(made.map(({ id }) => id).sort())
  })
})

describe.concurrent("Watch over the fleet", () => {
  const watching = async ({ manager, service }: Node, request: WatchRequest = {}) => {
    const events: Array<WatchResponse> = []
    await manager.collect(service.watch(request), (event) => events.push(event))
    const of = (id: string) => events.filter(({ connectionId }) => connectionId === id)
    return { events, of, types: (id: string) => of(id).map(({ type }) => type) }
  }

  it("tells at every instance what happens at any of them, in order and nothing missed", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const seen = await watching(b)
    const { id } = await fleet.connect(a, { tags: { env: "x" } })
    await a.manager.run(a.service.disconnect({ id }))
    await b.manager.until(() => seen.types(id).includes("disconnected"))
    expect(seen.types(id)).toEqual(["connecting", "connected", "disconnected"])
    expect(seen.of(id).every(({ instanceId, missed }) => instanceId === "a" && missed === 0)).toBe(true)
  })

  it("filters by id and by tag at the instance where it happens", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const wanted = await fleet.connect(a, { tags: { env: "x" } })
    const other = await fleet.connect(a)
    const byId = await watching(b, { ids: [wanted.id] })
    const byTag = await watching(b, { filters: [{ key: "env", value: "x" }] })
    for (const { id } of [other, wanted]) await a.manager.run(a.service.reconnect(id))
    for (const seen of [byId, byTag]) {
      await b.manager.until(() => seen.types(wanted.id).includes("connected"))
      expect(seen.events.every(({ connectionId }) => connectionId === wanted.id)).toBe(true)
    }
  })

  it("follows whoever joins", async (context) => {
    const fleet = await startFleet(context, ["a"])
    const [a] = fleet.nodes as [Node]
    const seen = await watching(a)
    const b = await fleet.join("b")
    const joiner = (await fleet.connect(b)).id
    await a.manager.until(() => seen.types(joiner).includes("connected"))
    // what the joiner told before anybody could listen counts as missed
    expect(seen.events.reduce((sum, { missed }) => sum + missed, 0)).toBeGreaterThanOrEqual(1)
  })

  it("counts a broken link as missed in the next event, and listens again", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const [a, b] = fleet.nodes as [Node, Node]
    const { id } = await fleet.connect(a)
    const seen = await watching(b)
    fleet.network.reset(a.address, b.address)
    await b.manager.until(
      () => fleet.network.sent.filter(({ from, what }) => from === b.address && what === "Watch").length > 2
    )
    await a.manager.run(a.service.reconnect(id))
    await b.manager.until(() => seen.types(id).includes("connected"))
    expect(seen.events[0]!.missed).toBeGreaterThanOrEqual(1)
    expect(seen.events.slice(1).every(({ missed }) => missed === 0)).toBe(true)
  })

  it("leaves no link behind when it is no longer read", async (context) => {
    const fleet = await startFleet(context, ["a", "b"])
    const b = fleet.nodes[1]!
    const before = fleet.network.inFlight
    const stop = Effect.scoped(Effect.asVoid(b.service.watch({})))
    await Promise.all(Array.from({ length: 20 }, () => b.manager.run(stop)))
    await b.manager.until(() => fleet.network.inFlight <= before)
    expect(fleet.network.inFlight).toBeLessThanOrEqual(before)
  })
})
