/** What one read of the fleet costs, and who is taken for a copy in it. */
import { describe, expect, it } from "vitest"
import { encodeHeartbeat, type HeartbeatRecord } from "../../src/domain/stored/InstanceRecord.js"
import { applyRead } from "../../src/membership/peers/ApplyRead.js"
import { MemberTable } from "../../src/membership/peers/MemberTable.js"
import type { PeerContext } from "../../src/membership/peers/PeerContext.js"
import * as PeerEvents from "../../src/membership/peers/PeerEvents.js"
import type { Version } from "../../src/ports/StateStore.js"
import { growth } from "../support/growth.js"

const VERSION = "1" as unknown as Version
const mark = { monotonic: 1, wall: 1 }

/** Of what an instance works with, what a read needs. */
const fleetOf = (view: MemberTable): PeerContext =>
  ({
    announcements: PeerEvents.make(),
    elapsed: { mark: () => mark, since: () => 0 },
    periods: { interval: 2000, ttl: 6000 },
    life: { incarnation: "mine", joinedAt: undefined, told: "lost", valid: () => true, ended: () => false },
    me: { id: "me", incarnation: "mine", address: "http://me:1" },
    view
  }) as unknown as PeerContext

const record = (id: string, incarnation: string): HeartbeatRecord => ({
  id,
  incarnation,
  status: "alive",
  address: `http://${id}:1`,
  startedAt: "",
  bootId: "",
  pidNamespace: "",
  pid: 1,
  processStart: "",
  beat: 1,
  intervalMs: 2000,
  ttlMs: 6000,
  connections: 0,
  nonce: "n",
  unknown: {}
})

type Row = readonly [id: string, incarnation: string]

const rows = (all: ReadonlyArray<Row>) =>
  new Map(all.map(([id, incarnation]) => [id, { value: encodeHeartbeat(record(id, incarnation)), version: VERSION }]))

const readOf = (view: MemberTable, index: ReadonlyArray<Row>, ...records: ReadonlyArray<Row>) => {
  applyRead(fleetOf(view), { ids: Object.fromEntries(index), records: rows(records) }, mark)
  return [...view.peers.values()].map(({ id, incarnation }) => [id, incarnation])
}

describe("one read of the fleet", () => {
  it("costs as much for each row, however many there are", () => {
    const run = (n: number) => {
      const names = Array.from({ length: n }, (_, i) => `i${i}`)
      const ids = Object.fromEntries(names.map((id) => [id, `life of ${id}`]))
      const records = new Map(names.map((id) => [id, { value: "no record", version: VERSION }]))
      return () => applyRead(fleetOf(new MemberTable("mine")), { ids, records }, mark)
    }
    expect(growth(run(4000), run(8000), 2.8)).toBeLessThan(2.8)
  })

  const a: Row = ["a", "1"]
  it("takes for a copy what the index, or the record before it, names for another", () => {
    expect(readOf(new MemberTable("mine"), [a], a, ["b", "1"])).toEqual([a])
    // the copy comes first: the index knows
    expect(readOf(new MemberTable("mine"), [a], ["b", "1"], a)).toEqual([a])
    // in no index: who was read first
    expect(readOf(new MemberTable("mine"), [], a, ["b", "1"])).toEqual([a])
    expect(readOf(new MemberTable("mine"), [], a, ["b", "mine"])).toEqual([a])
  })

  it("takes nobody for a copy of whom nothing stands any more, nor of its own former life", () => {
    const view = new MemberTable("mine")
    readOf(view, [a], a)
    // its life is another one now, and somebody else has the former
    expect(readOf(view, [["a", "2"], ["b", "1"]], ["a", "2"], ["b", "1"])).toEqual([["a", "2"], ["b", "1"]]) // prettier-ignore
    expect(readOf(view, [["a", "3"], ["b", "1"]], ["a", "3"], ["b", "1"])).toEqual([["b", "1"], ["a", "3"]]) // prettier-ignore
  })
})
