import { setImmediate as nextTurn } from "node:timers/promises"
import { expect, it } from "vitest"
import { perTurn } from "../../src/socket/wire/Timers.js"

it("the clock is read once a turn of the event loop, and anew in the next", async () => {
  let clock = 1000
  let readings = 0
  const time = perTurn(() => {
    readings++
    return clock
  })
  for (let i = 0; i < 1000; i++) expect(time()).toBe(1000)
  expect(readings).toBe(1)
  clock = 1005
  expect(time()).toBe(1000)
  await nextTurn()
  expect(time()).toBe(1005)
})
