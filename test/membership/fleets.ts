/** Fleets of instances under a virtual clock, on one store in memory and one network. */
import { it as test } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { PeerNetwork } from "../support/PeerNetwork.js"
import { VirtualClock } from "../support/VirtualClock.js"
import { adjust, type Instance, type InstanceOptions, joined, stored, until } from "./clockedInstances.js"

export const it = (name: string, body: () => Effect.Effect<unknown, unknown, Scope.Scope>) =>
  test.scopedLive(name, () => Effect.withClock(body(), new VirtualClock(1_800_000_000_000)), 60_000)

export const address = (id: string) => `http://${id}:5001`

export interface World {
  readonly backend: MemoryBackend
  readonly network: PeerNetwork
}
export const world = (): World => ({ backend: new MemoryBackend(), network: new PeerNetwork() })

export const at = ({ network }: World, id: string, options: InstanceOptions = {}): InstanceOptions => ({
  id,
  address: address(id),
  network,
  ...options
})

/** Instances that all know each other and hold their lease. */
export const fleet = (here: World, ids: ReadonlyArray<string>, options: InstanceOptions = {}) =>
  Effect.gen(function* () {
    const all: Array<Instance> = []
    for (const id of ids) all.push(yield* joined(here.backend, at(here, id, options)))
    yield* until(() => all.every(({ membership }) => membership.live().length === ids.length))
    // so long that everybody has greeted everybody
    yield* adjust("3 seconds")
    for (const { events } of all) events.length = 0
    return all as [Instance, Instance, Instance, ...Array<Instance>]
  })

export const status = ({ backend }: World, { id }: Instance) => stored(backend, instanceKey(id)).status
export const names = ({ events }: Instance) => events.map(({ id, name }) => `${id} ${name.slice("instance-".length)}`)
export const outage = (all: ReadonlyArray<Instance>) => {
  for (const { faults } of all) faults.blackhole = true
}
export const back = (all: ReadonlyArray<Instance>) => {
  for (const { faults } of all) faults.heal()
}
/** Seconds of the test clock until it holds. */
export const secondsUntil = (condition: () => boolean) =>
  Effect.gen(function* () {
    const from = yield* Clock.currentTimeMillis
    yield* until(condition, "10 millis", 4000)
    return ((yield* Clock.currentTimeMillis) - from) / 1000
  })
