/** SetTag, GetTag, DeleteTag, SetTags, GetTags and List. */
import { beforeAll, describe, expect, it } from "vitest"
import type { Door } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { connect, get } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

export const tagsAndLists: Part = (name, context) =>
  describe("tags and lists", () => {
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ peers, door } = context())
    })

    it("tags are set, read, replaced and deleted; an empty one is told from none", async () => {
      const { id } = await connect(door, peers, "/tags", { tags: { a: "1" } })
      expect(await door.call("SetTag", { id, key: "ключ", value: "значение" })).toEqual({})
      await door.call("SetTag", { id, key: "empty", value: "" })
      expect((await door.call("GetTag", { id, key: "ключ" })).value).toBe("значение")
      expect((await door.call("GetTag", { id, key: "empty" })).value).toBe("")
      expect((await door.call("GetTag", { id, key: "none" })).value).toBeUndefined()
      expect(await door.call("DeleteTag", { id, key: "a" })).toEqual({})
      expect(await door.call("GetTags", { id })).toEqual({ tags: { ключ: "значение", empty: "" } })
      await door.call("SetTags", { id, tags: { only: "this" } })
      expect((await get(door, id)).tags).toEqual({ only: "this" })
      await door.call("SetTags", { id, tags: {} })
      expect(await door.call("GetTags", { id })).toEqual({ tags: {} })
    })

    it("a list is filtered by every part of its query, and paged without a gap or a repetition", async () => {
      const made: Array<string> = []
      for (let i = 0; i < 5; i++) {
        const { id } = await connect(door, peers, `/list/${name}/${i}`, {
          tags: { list: name, n: String(i % 2) },
          topic: `list-${i % 3}`
        })
        made.push(id)
      }
      const filters = [{ key: "list", value: name }]
      const ids = async (query: object) =>
        (await door.call("List", { filters, ...query })).connections.map(({ id }) => made.indexOf(id))
      const owner = (await get(door, made[0]!)).instanceId
      expect(await ids({ filters: [...filters, { key: "n", value: "1" }] })).toEqual([1, 3])
      expect(await ids({ topic: "list-0" })).toEqual([0, 3])
      expect(await ids({ urlPrefix: `${peers.url}/list/${name}/4` })).toEqual([4])
      expect(await ids({ instanceId: owner })).toEqual([0, 1, 2, 3, 4])
      expect(await ids({ instanceId: "elsewhere" })).toEqual([])
      expect(await ids({ statuses: ["CONNECTION_STATUS_FAILED", "CONNECTION_STATUS_CONNECTED"] })).toHaveLength(5)
      expect(await ids({ statuses: ["CONNECTION_STATUS_FAILED"] })).toEqual([])

      const pages: Array<ReadonlyArray<string>> = []
      let pageToken = ""
      do {
        const page = await door.call("List", { filters, pageSize: 2, pageToken })
        pages.push(page.connections.map(({ id }) => id))
        pageToken = page.nextPageToken
      } while (pageToken !== "")
      expect(pages).toEqual([made.slice(0, 2), made.slice(2, 4), made.slice(4)])
    })
  })
