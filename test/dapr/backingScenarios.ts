/** What happens to the sidecars and the store of a fleet, beside what happens to the instances of any. */
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { outages } from "../support/countingServer.mjs"
import type { Server } from "../support/processes.js"
import { pauses, sideBySide } from "../process/fleetJudge.js"
import { EACH, type FleetEvent, NAMES, report } from "../process/processFleet.js"
import { until } from "../process/instanceProcess.js"
import type { DaprFleet } from "./fleetDapr.js"

/** Long past every lease. */
const AWAY_MS = 60_000
/** What was sent so shortly before may still wait, on a machine with other things to do. */
const BEHIND_MS = 3000
/** Somebody would have been judged dead by then, had his silence counted. */
const JUDGED_MS = 12_000

/**
 * The sidecar of one killed: that one is cut off from store and broker, and the others are not. It stops in time, they take
 * over; its sidecar back, it joins again.
 */
export const killSidecar = ({ fleet, sidecar }: DaprFleet, what: string) =>
  Effect.gen(function* () {
    const before = yield* incarnations(fleet)
    const at = Date.now()
    yield* sidecar("i0").kill
    yield* Effect.promise(() => fleet.upAt(["i1", "i2"], 40_000))
    report(`${what}: sidecar of one killed, without a socket`, pauses(fleet.server.log))
    const millis = outages(fleet.server.log, "i0", at)
    report(`${what}: sidecar of one killed, from the kill to the new socket`, millis)
    expect(millis).toHaveLength(EACH)
    expect(Math.max(...millis)).toBeLessThan(20_000)
    // it has let go before anybody takes over: they wait for the end of its lease, and a margin
    expect(sideBySide(fleet.server.log, "i0", at)).toEqual([])

    yield* sidecar("i0").start
    const joined = async () => {
      const now = await Effect.runPromise(incarnations(fleet))
      return now.get("i0") !== undefined && now.get("i0") !== before.get("i0")
    }
    yield* Effect.promise(() => until(joined, "it joins again, as another", 30_000))
    yield* Effect.promise(() => fleet.of("i0").ready())
    yield* Effect.promise(() => fleet.acquainted())
    yield* Effect.promise(() => fleet.judge())
    return { takenOver: millis.length, joinedAgain: yield* Effect.promise(joined) }
  })

/**
 * The store away for all for a minute, the broker there: renewal by peers. Not one socket closes, every frame is published
 * meanwhile, and the store back, nobody fences anybody.
 */
export const stopStore = ({ fleet }: DaprFleet, store: Server, what: string) =>
  Effect.gen(function* () {
    const before = yield* incarnations(fleet)
    const framesNow = Effect.promise(() => fleet.frames())
    yield* store.stop
    const published = (yield* framesNow).length
    const stopped = Date.now()
    yield* Effect.sleep(AWAY_MS)
    const end = Date.now() - BEHIND_MS
    const meanwhile = (yield* framesNow).length - published
    expect(fleet.server.sockets()).toBe(NAMES.length * EACH)
    const sent = fleet.server.log.flatMap(({ sentAt }) => sentAt.filter((at) => at > stopped && at < end)).length
    process.stderr.write(`${what}: store away ${AWAY_MS / 1000} s, ${meanwhile} frames published meanwhile\n`)
    expect(sent).toBeGreaterThan(0)
    expect(meanwhile).toBeGreaterThanOrEqual(sent)

    yield* store.start
    yield* Effect.sleep(JUDGED_MS)
    yield* Effect.promise(() => fleet.acquainted())
    expect(yield* incarnations(fleet)).toEqual(before)
    const { lost } = yield* Effect.promise(() => fleet.judge())
    // each has the one socket it began with
    expect(fleet.server.log).toHaveLength(fleet.ids.length)
    const closed = fleet.server.log.filter(({ closedAt }) => closedAt !== undefined).length
    const events = yield* Effect.promise(() => fleet.lifecycle())
    const unwanted = new Set(
      ["gap", "claimed", "reconnecting", "instance-dead"].map((type) => `websocketmanager.${type}`)
    )
    expect(events.filter((event: FleetEvent) => unwanted.has(String(event["type"])))).toEqual([])
    const fenced = events.filter((event) => event["type"] === "websocketmanager.instance-dead").length
    return { closed, lost, fenced }
  })

/** Of those who live, as each of them is known to the second. */
const incarnations = (fleet: DaprFleet["fleet"]): Effect.Effect<ReadonlyMap<string, string>> =>
  Effect.promise(async () => {
    const { instances } = await fleet.of("i1").call((client) => client.ListInstances({}))
    return new Map(
      instances
        .filter(({ status }) => status === "INSTANCE_STATUS_ALIVE")
        .map(({ id, incarnation }) => [id, incarnation] as const)
    )
  })
