/** What a directed scenario is, and what most of them begin with. */
import type { Fate, StoreCall } from "../../src/testing/FaultyStore.js"
import { type Weather, World } from "./World.js"

export interface Scenario {
  readonly name: string
  readonly weather?: Partial<Weather>
  readonly play: (world: World) => void
}

const SEED = 7

export const play = ({ play: body, weather = {} }: Scenario, traced = false, seed = SEED): World =>
  World.play(seed, { drift: 0, ...weather }, body, traced)

export const fleet = (world: World, n: number): void => {
  for (let i = 0; i < n; i++) world.start()
  // those who start at once have no share of the dials for two intervals
  world.go(6_000)
}

/** The chosen fate of the calls that fit, of this instance alone. */
export const only =
  (number: number, fits: (call: StoreCall) => boolean, fate: () => Fate | undefined) =>
  (instance: number, call: StoreCall): Fate | undefined =>
    instance === number && fits(call) ? fate() : undefined

export const writes = (key: string) => (call: StoreCall) =>
  call.key === key && (call.operation === "create" || call.operation === "replace")

export const LOST: Fate = {}
