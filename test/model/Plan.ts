/** Everything that happens from outside, drawn before the run, so that it can be repeated and made smaller. */
import * as FastCheck from "effect/FastCheck"
import type { Violation } from "./Checker.js"
import { LATEST, type Weather, World } from "./World.js"

export const KINDS = [
  "connect",
  "disconnect",
  "migrate",
  "crash",
  "freeze",
  "suspend",
  "cut",
  "cutPeers",
  "slow",
  "loseResponse",
  "late",
  "outage",
  "busDown",
  "flood",
  "refuse",
  "heal",
  "drain",
  "join",
  "restart",
  "rebalance"
] as const
export type Kind = (typeof KINDS)[number]

/** One event: `after` milliseconds from the one before; `a`, `b`, `c` choose among what there is then, `d` is a duration. */
export interface Step {
  readonly kind: Kind
  readonly after: number
  readonly a: number
  readonly b: number
  readonly c: number
  readonly d: number
}

export interface Plan {
  readonly seed: number
  readonly instances: number
  /** that stand before anything happens */
  readonly connections: number
  readonly weather: Partial<Weather>
  readonly steps: ReadonlyArray<Step>
  /** which connections are moved by make before break: a bit for each, by its key */
  readonly overlapping: number
  /** before which step the store forgets everything; one that is not there: never */
  readonly wiped: number
}

const { array, boolean, constant, constantFrom, integer, nat, oneof, record } = FastCheck

const duration = oneof(
  { arbitrary: integer({ min: 300, max: 9_000 }), weight: 4 },
  integer({ min: 9_000, max: 20_000 })
)

const step = (kinds: ReadonlyArray<Kind>): FastCheck.Arbitrary<Step> =>
  record({
    kind: constantFrom(...kinds),
    after: oneof(integer({ min: 0, max: 300 }), integer({ min: 300, max: 4_000 })),
    a: nat(99),
    b: nat(99),
    c: nat(99),
    d: duration
  })

/** The kinds of fault that one run may have; calls come with all of them. */
const FAULTS = KINDS.filter((kind) => !["connect", "disconnect", "migrate", "refuse"].includes(kind))

const weather: FastCheck.Arbitrary<Partial<Weather>> = record({
  drift: constantFrom(0, 0.02),
  loseRequest: constantFrom(0, 0, 0, 0.01, 0.08),
  loseResponse: constantFrom(0, 0, 0, 0.01, 0.1),
  late: constantFrom(0, 0.3, 0.7),
  slow: constantFrom(0, 0, 0.05, 0.25),
  stumble: constantFrom(0, 0, 0, 0.00005),
  crashDetection: boolean()
})

export const plans: FastCheck.Arbitrary<Plan> = FastCheck.subarray([...FAULTS], { minLength: 1, maxLength: 6 }).chain(
  (faults) =>
    record({
      seed: nat(),
      instances: integer({ min: 2, max: 5 }),
      connections: integer({ min: 0, max: 6 }),
      weather: oneof(constant<Partial<Weather>>({}), weather),
      steps: array(
        step([...faults, ...faults, "connect", "connect", "connect", "disconnect", "migrate", ...strange(faults)]),
        { minLength: 4, maxLength: 24, size: "max" }
      ),
      // last, so that a seed draws the same steps with it
      overlapping: integer({ min: 0, max: 0xffff }),
      // rare: nothing that was answered before binds anybody
      wiped: oneof({ arbitrary: constant(-1), weight: 15 }, nat(23))
    })
)

/** A network that refuses living processes is rare: much is excused where there is one. */
const strange = (faults: ReadonlyArray<Kind>): ReadonlyArray<Kind> => (faults.length === 6 ? ["refuse"] : [])

const ONE = { numRuns: 1, unbiased: true } as const

/** The plan of a seed. */
export const planOf = (seed: number): Plan => {
  let drawn: Plan | undefined
  FastCheck.check(
    FastCheck.property(plans, (plan) => {
      drawn = plan
    }),
    { ...ONE, seed }
  )
  return drawn!
}

// ------------------------------------------------------------ what a step does

const pick = <A>(from: ReadonlyArray<A>, n: number): A | undefined => from[n % Math.max(1, from.length)]
const KEYS = ["one", "two", "three"]

/** The same for the same key, so that a repeated connect asks for the same. */
const handoverOf = ({ overlapping }: Plan, key: string) => {
  const bit = [...key].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 16
  return { handover: ((overlapping >> bit) & 1) === 1 ? "HANDOVER_MAKE_BEFORE_BREAK" : "HANDOVER_BREAK_BEFORE_MAKE" }
}

const connect = (world: World, plan: Plan, number: number, key: string): void =>
  void world.connect(number, key, handoverOf(plan, key))

const act = (world: World, plan: Plan, { a, b, c, d, kind }: Step, n: number): void => {
  const some = pick(world.living, a)
  const ready = pick(world.ready, a)
  const other = pick(world.living, b)
  switch (kind) {
    case "connect":
      if (ready !== undefined) connect(world, plan, ready.number, c % 2 === 0 ? KEYS[b % KEYS.length]! : `new-${n}`)
      return
    case "disconnect":
    case "migrate": {
      const id = pick(world.known, b)
      if (ready === undefined || id === undefined) return
      if (kind === "disconnect") return world.disconnect(ready.number, id)
      return world.migrate(ready.number, id, c % 3 === 0 ? undefined : pick(world.ready, c)?.id)
    }
    case "crash":
      if (some === undefined || world.living.length < 2) return
      world.crash(some.number)
      // three of four come back
      if (c % 4 > 0) world.time.after(d / 2, () => world.comeBack(some, c))
      return
    case "freeze":
    case "suspend":
      return some && world.freeze(some.number, d, kind === "suspend")
    case "cut":
      return some && world.cutFromStore(some.number, d)
    case "cutPeers":
      return some && other && some !== other ? world.cutPeers(some.number, other.number, d) : undefined
    case "slow":
      return world.during({ slow: 0.5 }, d)
    case "loseResponse":
      return world.during({ loseResponse: 0.3 }, d)
    case "late":
      return world.during({ late: 0.9, loseRequest: 0.1 }, d)
    case "outage":
      return world.outage(d)
    case "busDown":
      return world.busDown(d)
    case "flood": {
      const socket = pick([...world.cluster.sockets.open], a)
      if (socket === undefined) return
      if (c % 4 > 0) world.busSlow(20 + b * 4, Math.min(d, 8_000))
      return world.flood(socket, Math.min(d, 4_000))
    }
    case "refuse":
      return some && world.living.length > 1 ? world.refuse(some.number, Math.min(d, 5_000)) : undefined
    case "heal":
      return world.cluster.heal()
    case "drain":
      if (ready === undefined || world.ready.length < 2) return
      world.drain(ready.number)
      if (c % 2 > 0) world.time.after(d + 12_000, () => ready.process.dead && world.comeBack(ready, c))
      return
    case "join":
      if (world.living.length < 6) world.start()
      return
    case "restart":
      if (some === undefined || world.living.length > 6) return
      if (c % 2 > 0) world.crash(some.number)
      return world.comeBack(some, b)
    case "rebalance":
      return ready && world.rebalance(ready.number)
  }
}

/** The longest that it may take until everybody who waits has come, once everything that was on its way has landed. */
const PATIENCE = 40_000

export interface Outcome {
  readonly found: ReadonlyArray<Violation>
  readonly counts: Readonly<Record<string, number>>
  readonly trace: ReadonlyArray<string>
}

export const run = (plan: Plan, traced = false): Outcome => {
  let world: World | undefined
  let failure: ReadonlyArray<Violation> = []
  try {
    World.play(
      plan.seed,
      plan.weather,
      (playing) => {
        world = playing
        for (let i = 0; i < plan.instances; i++) playing.start()
        playing.go(1_500)
        for (let i = 0; i < plan.connections; i++) connect(playing, plan, i % plan.instances, `first-${i}`)
        for (const [n, step] of plan.steps.entries()) {
          playing.go(step.after)
          if (n === plan.wiped) playing.wipe()
          act(playing, plan, step, n)
          playing.go(0)
        }
        playing.go(4_000)
        settle(playing)
      },
      traced
    )
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    failure = [{ kind: "the run failed", text, at: world?.time.now ?? 0 }]
  }
  return {
    found: [...(world?.check.found ?? []), ...failure],
    counts: world?.check.counts ?? {},
    trace: world?.trace ?? []
  }
}

/** The smallest plan found in that time, milliseconds, that breaks the same promise as that of this seed. */
export const shrink = (seed: number, kind: string, within: number): Plan => {
  const fails = (plan: Plan) => run(plan).found.some((violation) => violation.kind === kind)
  const { counterexample } = FastCheck.check(
    FastCheck.property(plans, (plan) => !fails(plan)),
    { ...ONE, seed, interruptAfterTimeLimit: within, markInterruptAsFailure: false }
  )
  return counterexample?.[0] ?? planOf(seed)
}

/** Heals everything, runs on, and looks whether all is as it should be. */
export const settle = (world: World): void => {
  world.heal()
  while (world.living.length < 2) world.start()
  world.go(LATEST + 2_000)
  for (let t = 0; t < PATIENCE && !world.check.isSettled(); t += 4_000) world.go(4_000)
  world.go(1_000)
  world.check.settled()
}

export const describe = (plan: Plan): string =>
  JSON.stringify({
    seed: plan.seed,
    instances: plan.instances,
    connections: plan.connections,
    overlapping: plan.overlapping,
    wiped: plan.wiped,
    weather: plan.weather,
    steps: plan.steps.map(({ a, after, b, c, d, kind }) => `+${after} ${kind} a${a} b${b} c${c} d${d}`)
  })
