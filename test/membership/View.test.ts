import { expect, it } from "vitest"
import { View } from "../../src/membership/View.js"

const peer = (incarnation: string) => ({ id: "other", incarnation, address: "http://other:5001" })

it("who is known to be gone is no member, and is remembered until it has ended", () => {
  const view = new View("mine")
  view.greet(peer("one"), 1)
  view.goneFor("one")
  view.greet(peer("one"), 2)
  expect(view.members()).toEqual([])
  expect(view.gone.size).toBe(1)
  view.end("one")
  view.goneFor("one")
  view.greet(peer("one"), 3)
  expect(view.members()).toEqual([])
  expect(view.gone.size).toBe(0)
})

it("of those gone without a word of the store the last are remembered", () => {
  const view = new View("mine")
  for (let i = 0; i < 5000; i++) view.goneFor(`${i}`)
  expect(view.gone.size).toBe(4096)
  view.greet(peer("4999"), 1)
  expect(view.members()).toEqual([])
  // errs on the safe side: one more whose answer a lease needs
  view.greet(peer("0"), 1)
  expect(view.members()).toHaveLength(1)
})
