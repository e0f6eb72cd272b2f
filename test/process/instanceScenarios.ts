/** What happens to the instances of a fleet, whatever its backing: killed, frozen, ended, restarted. */
import { expect } from "vitest"
import { outages } from "../support/countingServer.mjs"
import { pauses } from "./fleetJudge.js"
import { EACH, type Fleet, NAMES, quantile, report } from "./processFleet.js"
import { sleep, until } from "./instanceProcess.js"

const FROZEN_MS = 15_000
const DRAIN_TIMEOUT_MS = 30_000
/** Who waits for the end of a lease takes longer: ttl and margin are 6.5 s, from a beat that was up to 2 s ago. */
const BEFORE_LEASES_MS = 4000

/** How many of its connections have a socket. */
const up = (fleet: Fleet): number => fleet.server.up(fleet.ids)

export interface Killed {
  /** connections with a socket at the end */
  readonly up: number
  /** connections announced as claimed, and with a gap */
  readonly claimed: number
  readonly gaps: number
}

/** SIGKILL of one: its host tells of it, and the others have its connections, each announced as claimed, with a gap. */
export const killOne = async (fleet: Fleet, what: string, withinMs = 10_000): Promise<Killed> => {
  const lost = fleet.ownedBy("i0")
  expect(lost).toHaveLength(EACH)
  const at = Date.now()
  await fleet.of("i0").end("SIGKILL")
  fleet.instances.delete("i0")
  await fleet.upAt(["i1", "i2"], 30_000)
  const millis = outages(fleet.server.log, "i0", at)
  report(`${what}: SIGKILL of one of three`, millis)
  expect(millis).toHaveLength(EACH)
  expect(quantile(millis, 0.5)).toBeLessThan(BEFORE_LEASES_MS)
  expect(Math.max(...millis)).toBeLessThan(withinMs)

  const announced = async (type: string, field: string, value: string) => {
    const events = (await fleet.lifecycle()).filter((one) => one["type"] === `websocketmanager.${type}`)
    return [
      ...new Set(events.filter((one) => one[field] === value).map(({ connectionid }) => `${connectionid}`))
    ].toSorted()
  }
  await until(async () => (await announced("gap", "cause", "takeover")).length === EACH, "a gap for each")
  const gaps = await announced("gap", "cause", "takeover")
  const claimed = await announced("claimed", "reason", "dead")
  expect([gaps, claimed]).toEqual([lost.toSorted(), lost.toSorted()])
  expectEpochs(fleet, lost, 2)
  await fleet.judge()
  return { up: up(fleet), claimed: claimed.length, gaps: gaps.length }
}

/** Each has had so many sockets, every one in an epoch of its own, higher than the one before. */
const expectEpochs = (fleet: Fleet, ids: ReadonlyArray<string>, sockets: number): void => {
  for (const id of ids) {
    const epochs = fleet.server.log.filter((entry) => entry.id === id).map(({ epoch }) => epoch)
    expect(epochs).toHaveLength(sockets)
    expect(epochs).toEqual([...new Set(epochs)].toSorted((a, b) => a - b))
  }
}

export interface Woken {
  /** of its sockets from before the freeze, those that are open at the end */
  readonly open: number
  /** frames it published that reached it when it was frozen */
  readonly late: number
  readonly joinedAgain: boolean
}

/** SIGSTOP of one for 15 seconds, then SIGCONT: the woken one closes, says nothing late, and joins again. */
export const freezeOne = async (fleet: Fleet, what: string): Promise<Woken> => {
  const frozen = fleet.of("i0")
  const before = await incarnation(fleet, "i0")
  expect(before).toBeDefined()

  const at = Date.now()
  frozen.signal("SIGSTOP")
  await fleet.upAt(["i1", "i2"], FROZEN_MS)
  const millis = outages(fleet.server.log, "i0", at)
  report(`${what}: SIGSTOP of one of three`, millis)
  expect(millis).toHaveLength(EACH)
  // Its own sockets stand, with nobody behind them.
  expect(fleet.server.sockets()).toBe(4 * EACH)

  await sleep(at + FROZEN_MS - Date.now())
  const woken = Date.now()
  frozen.signal("SIGCONT")
  const old = fleet.server.log.filter(({ instance, openedAt }) => instance === "i0" && openedAt <= at)
  await until(() => old.every(({ closedAt }) => closedAt !== undefined), "the woken one closes its sockets")
  // A second is the law; the rest is for a machine with other things to do.
  expect(Math.max(...old.map(({ closedAt }) => closedAt!)) - woken).toBeLessThan(3000)

  const joinedAgain = async () => ![before, undefined].includes(await incarnation(fleet, "i0"))
  await until(joinedAgain, "it joins again", 30_000)
  await frozen.ready()
  await fleet.acquainted()
  // What the server sent into the freeze waited in the sockets, and was first read after waking.
  const published = (await fleet.frames()).filter(({ instanceid }) => instanceid === "i0")
  const late = published.filter(({ data }) => Number(String(data).split(" ")[1]) > at + 500)
  expect(old.reduce((sum, { sentAt }) => sum + sentAt.length, 0)).toBeGreaterThan(published.length)
  expect(late).toEqual([])
  await fleet.judge()
  const open = old.filter(({ closedAt }) => closedAt === undefined).length
  return { open, late: late.length, joinedAgain: await joinedAgain() }
}

const incarnation = async (fleet: Fleet, name: string): Promise<string | undefined> => {
  const { instances } = await fleet.of("i1").call((client) => client.ListInstances({}))
  return instances.find(({ id, status }) => id === name && status === "INSTANCE_STATUS_ALIVE")?.incarnation
}

export interface HandedOver {
  readonly moved: number
  /** connections with a socket at the end */
  readonly up: number
  /** the longest that a connection had no socket */
  readonly pauseMs: number
  /** frames */
  readonly lost: number
}

/** SIGTERM of one: everything is handed over with no moment without a socket, and no frame is lost. */
export const endOne = async (fleet: Fleet, what: string): Promise<HandedOver> => {
  const moved = fleet.ownedBy("i0")
  await end(fleet, "i0")
  report(`${what}: SIGTERM of one of three`, pauses(fleet.server.log))
  expectEpochs(fleet, moved, 2)
  return handedOver(fleet, EACH)
}

/** A rolling restart of all three. */
export const restartEach = async (fleet: Fleet, what: string): Promise<HandedOver> => {
  let moves = 0
  for (const name of NAMES) {
    moves += fleet.ownedBy(name).length
    await end(fleet, name)
    await fleet.join(name)
    await fleet.acquainted()
  }
  report(`${what}: rolling restart of all three`, pauses(fleet.server.log))
  return handedOver(fleet, moves)
}

const end = async (fleet: Fleet, name: string): Promise<void> => {
  const { millis, status } = await fleet.of(name).end("SIGTERM")
  expect(status).toBe(0)
  expect(millis).toBeLessThan(DRAIN_TIMEOUT_MS)
  fleet.instances.delete(name)
  await fleet.upAt([...fleet.instances.keys()], 10_000)
}

/** What came of so many moves, each made before broken. */
const handedOver = async (fleet: Fleet, moves: number): Promise<HandedOver> => {
  const millis = pauses(fleet.server.log)
  expect(millis).toHaveLength(moves)
  const { lost } = await fleet.judge()
  return { moved: millis.length, up: up(fleet), pauseMs: Math.max(...millis), lost }
}

export interface Restarted {
  /** connections with a socket at the end, and those whose epoch is higher than it was */
  readonly up: number
  readonly higher: number
}

/**
 * All three killed under load, and started again under their names: every connection is up once more, in a higher epoch, and
 * what was lost lies in a reported gap.
 *
 * @param unheard the consumer hears nothing of a started instance before it has subscribed to it: nothing is sent until then
 */
export const killAll = async (fleet: Fleet, what: string, unheard = false): Promise<Restarted> => {
  const epochs = new Map(fleet.server.log.map(({ epoch, id }) => [id, epoch]))
  const at = Date.now()
  await Promise.all(NAMES.map((name) => fleet.of(name).end("SIGKILL")))
  await until(() => fleet.server.sockets() === 0, "no socket is left")
  if (unheard) fleet.server.quiet()
  await Promise.all(NAMES.map((name) => fleet.join(name)))
  const ready = Date.now() - at
  await fleet.upAt(NAMES, 30_000)
  if (unheard) fleet.load()
  const millis = NAMES.flatMap((name) => outages(fleet.server.log, name, at))
  report(`${what}: SIGKILL of all three, ready again after ${ready} ms`, millis)
  expect(millis).toHaveLength(NAMES.length * EACH)
  expectEpochs(fleet, fleet.ids, 2)
  const came = (await fleet.frames()).length
  await until(async () => (await fleet.frames()).length > came + 2 * fleet.ids.length, "frames come on")
  await fleet.judge()
  const last = new Map(fleet.server.log.map(({ epoch, id }) => [id, epoch]))
  return { up: up(fleet), higher: fleet.ids.filter((id) => last.get(id)! > epochs.get(id)!).length }
}
