/** A record that ends whatever runs it: whoever opens a socket for it is killed in the same moment. */
import { connectionKey } from "../../src/domain/stored/Keys.js"
import { fleet, type Scenario } from "./Directing.js"
import { settle } from "./Plan.js"
import { whose } from "./Sockets.js"
import type { World } from "./World.js"

/** Time goes on, and whoever has a socket for this id is killed; how many were. */
const goPoisoned = (world: World, id: string, ms: number): number => {
  let killed = 0
  for (const end = world.time.now + ms; world.time.now < end;) {
    world.go(25)
    for (const socket of Array.from(world.cluster.sockets.open)) {
      const { process } = world.instance(socket.instance)
      if (whose(socket).id !== id || process.dead) continue
      world.crash(socket.instance)
      killed++
    }
  }
  return killed
}

const statusOf = (world: World, id: string): unknown => world.rows().get(connectionKey(id))?.["status"]

const judge = (world: World, poison: string, neighbours: ReadonlyArray<string>, killed: number): void => {
  if (killed > 2) world.check.violation("P4 a record ended a third instance", `${killed} of them`)
  if (killed < 2) world.check.violation("the scenario did not come about", `${killed} were killed`)
  if (statusOf(world, poison) !== "CONNECTION_STATUS_FAILED") {
    world.check.violation("P4 what ends instances is not in quarantine", String(statusOf(world, poison)))
  }
  const fallen = neighbours.filter((id) => statusOf(world, id) === "CONNECTION_STATUS_FAILED")
  if (fallen.length > 0) world.check.violation("P4 a neighbour is in quarantine", fallen.join())
}

export const POISON: ReadonlyArray<Scenario> = [
  {
    name: "a record that ends whatever runs it costs two instances, and its neighbours nothing but a takeover",
    play: (world) => {
      fleet(world, 4)
      const neighbours = Array.from({ length: 6 }, (_, i) => world.connect(0, `key-${i}`))
      world.go(8_000)
      const poison = world.connect(0, "poison")
      judge(world, poison, neighbours, goPoisoned(world, poison, 60_000))
      settle(world)
    }
  },
  {
    name: "a record that ends whatever runs it, made in the same moment as its neighbours",
    play: (world) => {
      fleet(world, 4)
      const neighbours = Array.from({ length: 4 }, (_, i) => world.connect(0, `key-${i}`))
      world.go(300)
      const poison = world.connect(0, "poison")
      judge(world, poison, neighbours, goPoisoned(world, poison, 90_000))
      settle(world)
    }
  },
  {
    name: "three instances that are killed one after the other leave one in quarantine at most: the one that was tried alone",
    play: (world) => {
      fleet(world, 4)
      const all = Array.from({ length: 20 }, (_, i) => world.connect(0, `key-${i}`))
      world.go(8_000)
      for (const number of [0, 1, 2]) {
        world.crash(number)
        world.go(1_500)
      }
      world.go(90_000)
      const fallen = all.filter((id) => statusOf(world, id) === "CONNECTION_STATUS_FAILED")
      if (fallen.length > 1) world.check.violation("P4 neighbours are in quarantine", fallen.join())
      settle(world)
    }
  }
]
