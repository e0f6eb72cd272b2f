import { expect, it } from "vitest"
import { TurnScheduler } from "../../src/messaging/publish/TurnScheduler.js"

it("what sending throws is told, and the next turn sends again", async () => {
  const told: Array<unknown> = []
  let sent = 0
  const pump = new TurnScheduler(
    () => {
      sent++
      if (sent < 3) throw new Error(`defect ${sent}`)
    },
    (defect) => told.push(defect)
  )
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  pump.schedule()
  await turn()
  pump.hurry()
  await turn()
  pump.schedule()
  await turn()
  expect(told.map(String)).toEqual(["Error: defect 1", "Error: defect 2"])
  expect(sent).toBe(3)
})
