/** The store away for all. */
import { fleet, type Scenario } from "./Directing.js"
import { settle } from "./Plan.js"

export const STORE: ReadonlyArray<Scenario> = [
  {
    name: "the store away for all for a minute: nobody fences anybody, no socket closes, every frame is published",
    play: (world) => {
      fleet(world, 3)
      for (let i = 0; i < 6; i++) world.connect(i % 3, `key-${i}`)
      world.go(3_000)
      const open = new Set(world.cluster.sockets.open)
      world.outage(60_000)
      world.go(70_000)
      for (const socket of open) {
        if (!socket.isOpen) world.check.violation("P6 a socket closed", `${socket.instance}`)
      }
      if (world.check.fences.length > 0) {
        world.check.violation("P6 fenced after an outage", JSON.stringify(world.check.fences[0]))
      }
      settle(world)
    }
  },
  {
    name: "the store away while one drains: it still answers its peers, and no socket of theirs closes",
    play: (world) => {
      fleet(world, 3)
      for (let i = 0; i < 6; i++) world.connect(i % 3, `key-${i}`)
      world.go(3_000)
      const open = [...world.cluster.sockets.open].filter(({ instance }) => instance !== 1)
      world.drain(1)
      world.go(60)
      world.outage(20_000)
      world.go(25_000)
      for (const socket of open) {
        if (!socket.isOpen) world.check.violation("P6 a socket closed", `${socket.instance}`)
      }
      settle(world)
    }
  }
]
