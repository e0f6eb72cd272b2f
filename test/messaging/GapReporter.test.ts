import { expect, it } from "vitest"
import { GapReporter } from "../../src/messaging/publish/Gaps.js"
import type { Timer } from "../../src/messaging/publish/Timer.js"

it("a gap that cannot be told is reported, and costs the others none of theirs", async () => {
  const told: Array<string> = []
  const failed: Array<unknown> = []
  const alarm = { set: () => {}, cancel: () => {} } as Pick<Timer, "set" | "cancel"> as Timer
  const desk = new GapReporter(
    () => alarm,
    () => 0,
    (defect) => failed.push(defect)
  )
  const teller = (name: string, tell: () => number) => ({ tellGaps: () => (told.push(name), tell()) })
  desk.add(teller("first", () => Infinity))
  desk.add(
    teller("defective", () => {
      throw new Error("defect")
    })
  )
  desk.add(teller("last", () => Infinity))
  await new Promise((resolve) => setImmediate(resolve))
  expect(told).toEqual(["first", "defective", "last"])
  expect(failed.map(String)).toEqual(["Error: defect"])
})
