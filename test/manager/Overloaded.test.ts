import * as Effect from "effect/Effect"
import { describe, expect, it } from "@effect/vitest"
import type { ConnectionTable } from "../../src/manager/connection/ConnectionTable.js"
import { pausing, refusing } from "../../src/manager/connection/Overloaded.js"
import type { ConnectionManager } from "../../src/manager/ConnectionManager.js"
import { make } from "../../src/observability/Overload.js"

/** A connection that buffers so much. */
const holding = (bytes: number) => {
  const c = { reading: true, paused: false, lane: { pendingBytes: () => bytes }, session: {} as unknown }
  c.session = { pause: () => void (c.reading = false), resume: () => void (c.reading = true) }
  return c
}

describe("an instance whose heap is nearly full", () => {
  it.scoped("reads no more of the connections that buffer most, until there is room again", () =>
    Effect.gen(function* () {
      const overload = make()
      const all = [10, 600, 0, 300, 90].map(holding)
      yield* pausing(overload, { values: () => all.values() } as unknown as ConnectionTable)
      const reading = () => all.map((c) => c.reading)
      overload.read(90, true)
      expect(reading()).toEqual([true, true, true, true, true])
      overload.read(96, true)
      expect(reading()).toEqual([true, false, true, true, true])
      // one whose own buffer is full meanwhile stays as it is
      all[1]!.paused = true
      overload.read(90, false)
      expect(reading()).toEqual([true, false, true, true, true])
      all[1]!.paused = false
      overload.read(96, true)
      overload.read(50, false)
      expect(reading()).toEqual([true, true, true, true, true])
    })
  )

  it.effect("refuses every call but those that set memory free", () =>
    Effect.gen(function* () {
      const overload = make()
      const done = () => Effect.succeed("done")
      const names = ["connect", "send", "receive", "list", "disconnect", "drain"] as const
      const plain = { ...Object.fromEntries(names.map((name) => [name, done])), listInstances: Effect.succeed("done") }
      const calls = refusing(overload, plain as unknown as ConnectionManager["Type"]) as unknown as typeof plain &
        Record<string, () => Effect.Effect<string, unknown>>
      overload.read(86, true)
      const outcome = (call: Effect.Effect<string, unknown>) =>
        Effect.match(call, { onSuccess: (text) => text, onFailure: (error) => (error as { quota: string }).quota })
      for (const name of names) {
        expect([name, yield* outcome(calls[name]!())]).toEqual([
          name,
          name === "disconnect" || name === "drain" ? "done" : "memory"
        ])
      }
      expect(yield* outcome(calls.listInstances as unknown as Effect.Effect<string>)).toBe("memory")
      overload.read(50, false)
      expect(yield* outcome(calls["connect"]!())).toBe("done")
    })
  )
})
