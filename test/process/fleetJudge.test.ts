/** The judge of the fleet's tests finds what must never be. */
import { expect, it } from "vitest"
import type { GapReport } from "../../src/domain/AcceptInOrder.js"
import { type Entry, outages, violations } from "../support/countingServer.mjs"
import { judgeFrames, outOfOrder, pauses, sideBySide } from "./fleetJudge.js"

const entry = (epoch: number, instance: string, openedAt: number, closedAt?: number): Entry => ({
  id: "c",
  epoch,
  instance,
  openedAt,
  ...(closedAt !== undefined && { closedAt }),
  sentAt: []
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

it("the pauses are the times between two sockets; none where the next was there first", () => {
  const log = [entry(1, "a", 0, 10), entry(2, "b", 25, 40), entry(3, "c", 35)]
  expect(pauses(log)).toEqual([15, 0])
})

it("a socket of the one who was cut off that stands beside its heir's is found, and one that closed before is not", () => {
  expect(sideBySide([entry(1, "a", 0, 25), entry(2, "b", 25)], "a", 10)).toEqual([])
  expect(sideBySide([entry(1, "a", 0, 26), entry(2, "b", 25)], "a", 10)).toHaveLength(1)
  expect(sideBySide([entry(1, "a", 0), entry(2, "b", 25)], "a", 10)).toHaveLength(1)
  // what it has dialled since then is not what it had, and who came before was not its heir
  expect(sideBySide([entry(1, "a", 0, 20), entry(2, "b", 25, 30), entry(3, "a", 30)], "a", 10)).toEqual([])
  expect(sideBySide([entry(1, "b", 0, 6), entry(2, "a", 5)], "a", 10)).toEqual([])
})

// ------------------------------------------------------------ a consumer's view

/** Two sockets of one connection, each sent five frames; the second is a new owner's. */
const SENT: ReadonlyArray<Entry> = [
  { ...entry(1, "a", 0, 60), sentAt: [10, 20, 30, 40, 50] },
  { ...entry(2, "b", 90), sentAt: [110, 120, 130, 140, 150] }
]
const frame = (socket: number, number: number, sequence = number, sent = SENT) => ({
  type: "websocketmanager.frame",
  connectionid: "c",
  epoch: String(sent[socket]!.epoch),
  sequence: String(sequence),
  time: "2026-01-01T00:00:00.000Z",
  data: `${number} ${sent[socket]!.sentAt[number - 1]} ${socket}`
})
const ALL = SENT.flatMap(({ sentAt }, socket) => sentAt.map((_, i) => frame(socket, i + 1)))
const without = (...missing: ReadonlyArray<readonly [socket: number, number: number]>) =>
  ALL.filter(
    ({ data }) => !missing.some(([socket, number]) => data.startsWith(`${number} `) && data.endsWith(` ${socket}`))
  )
const gap = (last: readonly [number, number], first: readonly [number, number], connectionId = "c"): GapReport => ({
  connectionId,
  cause: "takeover",
  last: { epoch: last[0], sequence: last[1] },
  first: { epoch: first[0], sequence: first[1] },
  lost: "unknown"
})
const judged = (events: ReadonlyArray<object>, ...reports: ReadonlyArray<GapReport>) =>
  judgeFrames({ log: SENT, events, reports })

it("every frame in order, also repeated, is no problem; a late one of the former owner that was there before neither", () => {
  expect(judged(ALL)).toEqual({ taken: 10, lost: 0, problems: [] })
  expect(judged([...ALL, ...ALL])).toEqual({ taken: 10, lost: 0, problems: [] })
})

it("a frame missing at the end of a socket must lie in a reported gap", () => {
  const events = without([0, 4], [0, 5])
  const found = { taken: 8, lost: 2, problems: [expect.stringContaining("frame 4 of socket 0"), expect.any(String)] }
  expect(judged(events)).toEqual(found)
  // far behind, as after a takeover, or just there
  expect(judged(events, gap([1, 1], [2, 1]))).toEqual({ taken: 8, lost: 2, problems: [] })
  expect(judged(events, gap([1, 3], [2, 1]))).toEqual({ taken: 8, lost: 2, problems: [] })
  // of another connection, of what came before, and of what came after
  expect(judged(events, gap([1, 3], [2, 1], "d"))).toEqual(found)
  expect(judged(events, gap([0, 0], [1, 3]))).toEqual(found)
  expect(judged(events, gap([2, 1], [2, 9]))).toEqual(found)
})

it("a frame missing between others must be in the gap by its own number", () => {
  const events = without([1, 3])
  expect(judged(events, gap([1, 5], [2, 1])).problems).toEqual([expect.stringContaining("frame 3 of socket 1")])
  expect(judged(events, gap([2, 2], [2, 3])).problems).toHaveLength(1)
  expect(judged(events, gap([2, 2], [2, 4]))).toEqual({ taken: 9, lost: 1, problems: [] })
  expect(judged(events, gap([2, 3], [2, 9])).problems).toHaveLength(1)
  // the first of a new owner was received, so it is not in the gap before it, wherever that begins
  expect(judged(without([1, 1]), gap([1, 2], [2, 1])).problems).toHaveLength(1)
  expect(judged(without([1, 1]), gap([1, 5], [2, 2])).problems).toEqual([])
})

it("a frame that was lost on one socket and came on the other, while both stood, is not missing", () => {
  const log = [SENT[0]!, { ...SENT[1]!, sentAt: [50, 60] }]
  const events = [1, 2, 3, 4].map((number) => frame(0, number))
  const beside = [1, 2].map((number) => frame(1, number, number, log))
  expect(judgeFrames({ log, events: [...events, ...beside], reports: [] })).toEqual({ taken: 6, lost: 0, problems: [] })
})

it("a late frame of a fenced owner, one out of order, one stamp on two frames, and another epoch's are found", () => {
  const late = [...without([0, 5]), frame(0, 5)]
  expect(judged(late).problems).toEqual([expect.stringContaining("frame 5 of socket 0")])
  const exchanged = [frame(0, 2, 1), frame(0, 1, 2), ...ALL.slice(2)]
  expect(judged(exchanged).problems).not.toEqual([])
  const twice = [...ALL, frame(1, 4, 5)]
  expect(judged(twice).problems).toEqual(["c:2:5 stands on two frames"])
  const stolen = [...ALL, { ...frame(0, 5, 6), epoch: "2" }]
  expect(judged(stolen).problems).toContainEqual(expect.stringContaining("which is not that one's"))
})

it("on one bus a frame behind a later one of its connection, a repeated one, and one of a former epoch are found", () => {
  const other = { ...frame(0, 1), connectionid: "d" }
  expect(outOfOrder([...ALL, other])).toEqual([])
  expect(outOfOrder([frame(0, 1), frame(0, 3), frame(0, 2)])).toEqual(["c: 1:2 after 1:3"])
  expect(outOfOrder([frame(0, 1), frame(0, 1)])).toEqual(["c: 1:1 after 1:1"])
  expect(outOfOrder([frame(0, 1), frame(1, 1), frame(0, 2)])).toEqual(["c: 1:2 after 2:1"])
})
