/** The judge of the fleet's tests finds what must never be. */
import { expect, it } from "vitest"
import { type Entry, outages, violations } from "../support/countingServer.mjs"

const entry = (epoch: number, instance: string, openedAt: number, closedAt?: number): Entry => ({
  id: "c",
  epoch,
  instance,
  openedAt,
  ...(closedAt !== undefined && { closedAt }),
  sent: 0
})

it("two sockets in one epoch at a time, an epoch that goes back, and one that two instances use are found", () => {
  expect(violations([entry(1, "a", 0), entry(1, "a", 5)])).toHaveLength(1)
  expect(violations([entry(1, "a", 0, 6), entry(1, "a", 5)])).toHaveLength(1)
  expect(violations([entry(2, "a", 0, 1), entry(1, "b", 5)])).toHaveLength(1)
  expect(violations([entry(1, "a", 0, 1), entry(1, "b", 5)])).toHaveLength(1)
})

it("a reconnect within an epoch, a takeover, and a frozen owner's socket beside its heir's are not", () => {
  expect(violations([entry(1, "a", 0, 4), entry(1, "a", 5)])).toEqual([])
  expect(violations([entry(1, "a", 0, 4), entry(2, "b", 5)])).toEqual([])
  expect(violations([entry(1, "a", 0), entry(2, "b", 5)])).toEqual([])
})

it("the time without a socket runs from the loss to the next open, and never ends where none came", () => {
  expect(outages([entry(1, "a", 0, 10), entry(2, "b", 25)], "a", 10)).toEqual([15])
  expect(outages([entry(1, "a", 0), entry(2, "b", 25)], "a", 10)).toEqual([15])
  expect(outages([entry(1, "a", 0, 10)], "a", 10)).toEqual([Infinity])
  expect(outages([entry(1, "b", 0)], "a", 10)).toEqual([])
})
