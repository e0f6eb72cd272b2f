/** Planned moves, in both modes, and what can happen to either end of one in the middle of it. */
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"
import type { World } from "./World.js"

const MODES = {
  "break before make": "HANDOVER_BREAK_BEFORE_MAKE",
  "make before break": "HANDOVER_MAKE_BEFORE_BREAK"
} as const
type Mode = keyof typeof MODES

const SOURCE = 0
const TARGET = 1

const FAULTS: Readonly<Record<string, (world: World, number: number) => void>> = {
  "is killed": (world, number) => world.crash(number),
  "is frozen for eight seconds": (world, number) => world.freeze(number, 8_000),
  "is frozen for three seconds": (world, number) => world.freeze(number, 3_000),
  "is cut off alone": (world, number) => {
    world.cutFromStore(number, 12_000)
    for (const { number: other } of world.living) if (other !== number) world.cutPeers(number, other, 12_000)
  }
}

const record = (world: World, id: string) => world.rows().get(connectionKey(id))

/** Until which moment of the move, seen from the store and the network. */
const MOMENTS: Readonly<Record<string, (world: World, id: string) => boolean>> = {
  "it is offered": (world, id) => record(world, id)?.["handover"] !== undefined,
  "it is claimed": (world, id) => record(world, id)?.["incarnation"] === world.incarnation(TARGET),
  "the target's socket is open": (world, id) =>
    [...world.cluster.sockets.open].some(
      (socket) => socket.instance === TARGET && socket.target.headers["x-connection"] === id
    )
}

const begun = (world: World, mode: Mode): string => {
  fleet(world, 3)
  world.refusals = 0
  const id = world.connect(SOURCE, "one", { handover: MODES[mode] })
  world.go(6_000)
  return id
}

const until = (world: World, condition: () => boolean): void => {
  for (let i = 0; i < 5_000 && !condition(); i++) world.go(1)
  if (!condition()) world.check.violation("the scenario did not come about", "the move did not get so far")
}

const disturbed = (mode: Mode, moment: string, end: number, fault: string): Scenario => ({
  name: `${mode}: the ${end === SOURCE ? "source" : "target"} ${fault} once ${moment}`,
  play: (world) => {
    const id = begun(world, mode)
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS[moment]!(world, id))
    FAULTS[fault]!(world, end)
    // none of it may be seen between two looks only
    for (let i = 0; i < 300; i++) world.go(100)
    settle(world)
  }
})

const undisturbed = (mode: Mode): Scenario => ({
  name: `${mode}: a move with nothing in its way`,
  play: (world) => {
    const id = begun(world, mode)
    const sockets = () => [...world.cluster.sockets.open]
    const [old] = sockets()
    world.migrate(SOURCE, id, "instance-1")
    let most = 0
    let least = 2
    const moved = () => old?.isOpen === false && sockets().length === 1
    for (let i = 0; i < 3_000 && !moved(); i++) {
      world.go(1)
      most = Math.max(most, sockets().length)
      least = Math.min(least, sockets().length)
    }
    const asked = mode === "make before break" ? most === 2 && least === 1 : most === 1 && least === 0
    if (!moved() || !asked) world.check.violation("P1 not moved as it was asked", `${least} to ${most} sockets`)
    world.go(4_000)
    settle(world)
  }
})

/** A target that cannot say so claims; the source, which hears nothing, takes it back or lets go. */
const silent = (mode: Mode): Scenario => ({
  name: `${mode}: the target cannot tell the source that it has claimed`,
  play: (world) => {
    const id = begun(world, mode)
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS["it is claimed"]!(world, id))
    world.cutPeers(SOURCE, TARGET, 40_000)
    for (let i = 0; i < 450; i++) world.go(100)
    settle(world)
  }
})

/** A claim that comes through when the offer was taken back long ago. */
const late = (mode: Mode): Scenario => ({
  name: `${mode}: a claim lands late, when the offer was taken back`,
  play: (world) => {
    const id = begun(world, mode)
    // the target opens its socket before the source can have heard of the claim
    world.slowDials = 0
    let claimed = false
    world.fate = (instance, call) => {
      if (!writes(connectionKey(id))(call)) return undefined
      // nothing but the taking back stands between the claim and the record
      const open = [...world.cluster.sockets.open].some((socket) => socket.instance === SOURCE)
      if (instance === SOURCE && claimed && open && mode === "break before make") return LOST
      if (instance !== TARGET) return undefined
      if (claimed) return LOST
      claimed = true
      return { arrives: mode === "make before break" ? 26_000 : 7_500 }
    }
    world.migrate(SOURCE, id, "instance-1")
    for (let i = 0; i < 300; i++) world.go(100)
    world.fate = undefined
    if (!claimed) world.check.violation("the scenario did not come about", "the target did not claim")
    settle(world)
  }
})

/** Moved on at once, while the former source may not have heard of it. */
const onwards = (mode: Mode): Scenario => ({
  name: `${mode}: moved on before it is open where it was moved to`,
  play: (world) => {
    const id = begun(world, mode)
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS["it is claimed"]!(world, id))
    world.migrate(TARGET, id, "instance-2")
    for (let i = 0; i < 300; i++) world.go(100)
    settle(world)
  }
})

/** The bus is away from before the first move until after the second. */
const publishing: Scenario = {
  name: "break before make: moved on twice, while the first owner still publishes what it has read",
  play: (world) => {
    const id = begun(world, "break before make")
    world.slowDials = 0
    const openAt = (number: number) =>
      [...world.cluster.sockets.open].some(({ instance }) => instance === number) &&
      world.cluster.sockets.open.size === 1
    world.busDown(20_000)
    world.go(1_400)
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => openAt(TARGET))
    world.migrate(TARGET, id, "instance-2")
    until(world, () => openAt(2))
    world.cluster.bus.down = false
    for (let i = 0; i < 300; i++) world.go(100)
    const late = world.check.counts["publishes beside the new owner: moved, and not all was published"] ?? 0
    if (late === 0) world.check.violation("the scenario did not come about", "all was published in time")
    settle(world)
  }
}

/** The target's claim of the first offer reads the record of the second one, as soon as that stands. */
const again: Scenario = {
  name: "break before make: an offer that was taken back is claimed as the next one, before the source hears that it stands",
  play: (world) => {
    const id = begun(world, "break before make")
    const key = connectionKey(id)
    world.slowDials = 0
    let deaf = true
    let offered = false
    world.fate = (instance, call) => {
      if (instance === TARGET && call.operation === "get" && call.key === key && deaf) return {}
      if (instance !== SOURCE || deaf || offered || !writes(key)(call)) return undefined
      offered = true
      return { arrives: 2, answers: 1_000 }
    }
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS["it is offered"]!(world, id))
    world.go(4_000)
    until(world, () => !MOMENTS["it is offered"]!(world, id))
    world.go(200)
    deaf = false
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS["it is claimed"]!(world, id))
    if (!offered) world.check.violation("the scenario did not come about", "the second offer was answered at once")
    for (let i = 0; i < 300; i++) world.go(100)
    world.fate = undefined
    settle(world)
  }
}

/** Removed where it is dialled; the source has heard of nothing yet. */
const removed: Scenario = {
  name: "make before break: disconnected before it is open where it was moved to",
  play: (world) => {
    const id = begun(world, "make before break")
    world.migrate(SOURCE, id, "instance-1")
    until(world, () => MOMENTS["it is claimed"]!(world, id))
    world.refusals = 1
    world.go(1_000)
    world.disconnect(TARGET, id)
    world.go(3_000)
    for (const { instance } of world.cluster.sockets.open) {
      world.check.violation("P2 removed, and a socket of it is open", `${id} at ${instance}`)
    }
    settle(world)
  }
}

export const MOVES: ReadonlyArray<Scenario> = (Object.keys(MODES) as ReadonlyArray<Mode>).flatMap((mode) => [
  undisturbed(mode),
  ...(mode === "make before break" ? [removed] : [publishing, again]),
  silent(mode),
  late(mode),
  onwards(mode),
  ...Object.keys(MOMENTS).flatMap((moment) =>
    [SOURCE, TARGET].flatMap((end) => Object.keys(FAULTS).map((fault) => disturbed(mode, moment, end, fault)))
  )
])
