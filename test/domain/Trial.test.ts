import { describe, expect, it } from "vitest"
import { CONNECTED, FAILED } from "../../src/domain/ConnectionStatus.js"
import type { Trial } from "../../src/domain/stored/ConnectionRecord.js"
import { nextGroup, onClaim } from "../../src/domain/stored/Trial.js"

const claim = (
  trial: Trial | undefined,
  { died = true, owner = "a", status = CONNECTED as typeof CONNECTED | typeof FAILED } = {}
) => onClaim({ incarnation: owner, status, trial }, { died, incarnation: "b" })

describe("what a claim makes of a record", () => {
  it("that was not tried when its owner ended: it is tried now, with all others", () => {
    expect(claim(undefined)).toEqual({ trial: { by: "b", deaths: 0 }, quarantined: false })
  })
  it("that was tried when its owner ended: a suspect, which waits for its turn", () => {
    expect(claim({ by: "a", deaths: 0 })).toEqual({ trial: { deaths: 1 }, quarantined: false })
  })
  it("under which a second owner ended, which tried it alone: quarantine", () => {
    expect(claim({ by: "a", deaths: 1, alone: true })).toEqual({ trial: { deaths: 2 }, quarantined: true })
  })
  it("under which a second owner ended, which tried others too: a suspect still", () => {
    expect(claim({ by: "a", deaths: 1, alone: false })).toEqual({ trial: { deaths: 2 }, quarantined: false })
  })
  it("whose owner left, or gives it away, or was another than the one that tried it: no death", () => {
    expect(claim({ by: "a", deaths: 1, alone: true }, { died: false }).quarantined).toBe(false)
    expect(claim({ by: "x", deaths: 1, alone: true })).toEqual({ trial: { deaths: 1 }, quarantined: false })
    expect(claim({ deaths: 1 })).toEqual({ trial: { deaths: 1 }, quarantined: false })
  })
  it("that is in quarantine: it stays, and what is known of it", () => {
    expect(claim({ deaths: 2 }, { status: FAILED })).toEqual({ trial: { deaths: 2 }, quarantined: false })
  })
})

describe("suspects", () => {
  const suspects = (count: number, deaths: number) => Array.from({ length: count }, () => ({ deaths }))
  it("are tried one by one, a crowd of them together once more and then a quarter at a time, and the likeliest last", () => {
    expect(nextGroup(suspects(8, 1)).length).toBe(1)
    expect(nextGroup(suspects(400, 1)).length).toBe(400)
    expect(nextGroup(suspects(400, 2)).length).toBe(100)
    expect(nextGroup([...suspects(9, 2), ...suspects(1, 1)])).toEqual([{ deaths: 1 }])
    expect(nextGroup(suspects(8, 2)).length).toBe(1)
  })
})
