import { expect, it } from "vitest"
import { type Known, MemberTable } from "../../src/membership/peers/MemberTable.js"

const peer = (incarnation: string) => ({ id: "other", incarnation, address: "http://other:5001" })
/** Its record was read. */
const read = (view: MemberTable, incarnation: string): void => {
  view.appear(peer(incarnation) as Known)
}

it("who says hello is a member by its record alone, and only at the address that stands there", () => {
  const view = new MemberTable("mine")
  expect(view.hear(peer("one"))).toBe(false)
  view.meet(peer("one"), 1)
  expect(view.members()).toEqual([])
  read(view, "one")
  expect(view.members()).toHaveLength(1)
  expect(view.hear({ ...peer("one"), address: "http://liar:1" })).toBe(false)
  expect(view.hear({ ...peer("one"), id: "another" })).toBe(false)
  expect(view.hear(peer("two"))).toBe(false)
  expect(view.peers.get("other")?.heard).toBeUndefined()
  expect(view.hear(peer("one"))).toBe(true)
  expect(view.peers.get("other")?.heard).toBe(true)
  view.end("one")
  expect(view.hear(peer("one"))).toBe(false)
})

it("of those who said hello and were not read of the last are remembered", () => {
  const view = new MemberTable("mine")
  for (let i = 0; i < 1000; i++) view.meet(peer(`${i}`), i)
  expect(view.greeters.size).toBe(256)
  expect(view.greeters.has("999")).toBe(true)
  // my own life, said by whoever has heard of it
  view.meet(peer("mine"), 1000)
  expect(view.greeters.has("mine")).toBe(false)
})

it("who is known to be gone is no member, and is remembered until it has ended", () => {
  const view = new MemberTable("mine")
  read(view, "one")
  view.goneFor("one")
  expect(view.members()).toEqual([])
  expect(view.hear(peer("one"))).toBe(false)
  expect(view.departed.size).toBe(1)
  view.end("one")
  view.goneFor("one")
  expect(view.members()).toEqual([])
  expect(view.departed.size).toBe(0)
})

it("of those gone without a word of the store the last are remembered", () => {
  const view = new MemberTable("mine")
  for (let i = 0; i < 5000; i++) view.goneFor(`${i}`)
  expect(view.departed.size).toBe(4096)
  read(view, "4999")
  expect(view.members()).toEqual([])
  // errs on the safe side: one more whose answer a lease needs
  read(view, "0")
  expect(view.members()).toHaveLength(1)
})
