/** SIGTERM of one of three with MAKE_BEFORE_BREAK: no frame is lost, and 3,000 connections are given away in time. */
import { standstill } from "../lib/stats.mjs"
import { levelled, seconds, spread, THIRDS, TOPIC } from "./bench.mjs"

const DRAIN_TIMEOUT_MS = 30_000
const request = { handover: "HANDOVER_MAKE_BEFORE_BREAK" }

/** Every frame that the server put on a socket must be on the topic. @param {import("./bench.mjs").Bench} bench */
export const drain = (bench) =>
  bench.withFleet({ connections: THIRDS, request }, async ({ backing, fleet, ids, names, server }) => {
    const reading = await backing.read(fleet, TOPIC)
    const took = []
    let status = 0
    server.load(500)
    for (let round = 0; round < bench.rounds; round++) {
      const name = names[round % names.length]
      const left = await fleet.drain(name)
      took.push(left.millis)
      status ||= left.status
      await fleet.join(name)
      await reading.also(name)
      await levelled(fleet)
    }
    server.quiet()
    await standstill(async () => (await reading.events()).length, 500, 60_000)
    const { lost, moved, sent } = lostOf(server.log, await reading.events())
    const up = server.up(ids)
    const measured = `${lost} of ${sent} frames lost, ${moved} moves, ${ids.length - up} down; ${spread(took)}`
    // none lost of none is no figure
    const had = sent > 0 && moved >= bench.rounds && ids.length > 0
    const holds = had && lost === 0 && up === ids.length && status === 0
    bench.add(`drain and rebalance under load, MAKE_BEFORE_BREAK${backing.name}`, measured, "0 lost", holds)
  })

/** @param {import("./bench.mjs").Bench} bench */
export const drainMany = (bench) =>
  bench.withFleet({ connections: [3000, 0, 0], request }, async ({ backing, fleet, ids, server }) => {
    const { millis, status } = await fleet.drain("i0")
    const moved = ids.length - released(server.log)
    const measured = `${seconds(millis)}, ${moved} moved without a moment without a socket`
    const holds = millis <= DRAIN_TIMEOUT_MS && status === 0 && ids.length > 0 && moved === ids.length
    bench.add(`drain of 3,000 connections${backing.name}`, measured, `all within ${seconds(DRAIN_TIMEOUT_MS)}`, holds)
  })

/** Connections whose former socket closed before, or without, another one. */
const released = (log) => {
  const last = new Map()
  const dark = new Set()
  for (const { closedAt, id, openedAt } of log) {
    if (last.get(id) < openedAt) dark.add(id)
    last.set(id, closedAt ?? Infinity)
  }
  for (const [id, closedAt] of last) if (closedAt < Infinity) dark.add(id)
  return dark.size
}

/** Frames that the server sent, and that are not among the events: each socket's own, whatever another one was sent. */
const lostOf = (log, events) => {
  const there = new Set(events.map(({ data }) => frameOf(...data.split(" "))))
  let lost = 0
  let sent = 0
  for (const [socket, { sentAt }] of log.entries()) {
    sent += sentAt.length
    lost += sentAt.filter((at, i) => !there.has(frameOf(i + 1, at, socket))).length
  }
  return { lost, sent, moved: log.length - new Set(log.map(({ id }) => id)).size }
}

const frameOf = (number, _sentAt, socket) => `${socket}:${number}`
