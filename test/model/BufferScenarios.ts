/** What waits for the bus: bounded, and gone with the life that read it. */
import { instanceKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, type Scenario, writes } from "./Directing.js"
import { FRAME_LIMIT } from "./Limits.js"
import { settle } from "./Plan.js"
import { whose } from "./Sockets.js"

export const BUFFER: ReadonlyArray<Scenario> = [
  {
    name: "what was dropped with the lease is not noted as published",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      world.connect(0, "one")
      world.go(1_500)
      world.busDown(30_000)
      world.go(1_400)
      const beat = writes(instanceKey("instance-0"))
      let landed: number | undefined
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        if (landed === undefined) {
          if (beat(call)) landed = world.time.now
          return undefined
        }
        // the lease runs out, and nobody has fenced it yet
        return world.time.now - landed < 5_900 ? LOST : undefined
      }
      world.go(15_000)
      world.fate = undefined
      settle(world)
      if (world.check.counts["gap publish"] === undefined) {
        world.check.violation("the scenario did not come about", "no frame was dropped")
      }
    }
  },
  {
    name: "what waits when the lease is lost, again and again, takes no room for ever",
    play: (world) => {
      fleet(world, 3)
      world.refusals = 0
      world.connect(0, "flood-0", { topic: "slow" })
      world.connect(0, "flood-1", { topic: "slow" })
      world.go(3_000)
      for (let i = 0; i < 4; i++) {
        world.busDown(4_000)
        for (const socket of world.cluster.sockets.open) world.flood(socket, 1_000)
        world.go(1_500)
        const owners = new Set([...world.cluster.sockets.open].map(({ instance }) => instance))
        for (const number of owners) world.freeze(number, 11_000)
        world.go(20_000)
      }
      if (world.check.fences.length < 4) world.check.violation("the scenario did not come about", "nobody was fenced")
      settle(world)
    }
  },
  {
    name: "what waits of a connection that was removed goes, at the latest, with the life that read it",
    play: (world) => {
      fleet(world, 3)
      world.refusals = 0
      const id = world.connect(0, "flood-0")
      world.go(3_000)
      world.busDown(6_000)
      for (const socket of world.cluster.sockets.open) world.flood(socket, 500)
      world.go(1_000)
      world.disconnect(0, id)
      world.go(500)
      if (world.gauge(0, "buffer_frames") === 0)
        world.check.violation("the scenario did not come about", "nothing waits")
      world.freeze(0, 11_000)
      world.go(20_000)
      settle(world)
    }
  },
  {
    name: "a flood on a slow topic keeps to the bounds of its buffer, and delays nobody else",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      for (const key of ["flood-0", "flood-1", "flood-2"]) world.connect(0, key, { topic: "slow" })
      const neighbour = world.connect(0, "neighbour")
      while (world.cluster.sockets.open.size < 4) world.go(100)
      world.cluster.bus.delay = (topic) => (topic === "slow" ? 300 : 0)
      const open = [...world.cluster.sockets.open]
      for (const socket of open) if (whose(socket).id !== neighbour) world.flood(socket, 6_000)
      const beside = open.find((socket) => whose(socket).id === neighbour)!
      let fullest = 0
      for (let i = 0; i < 60; i++) {
        world.go(100)
        fullest = Math.max(fullest, world.gauge(0, "buffer_frames"))
        if (world.check.frames.unpublished(beside, 100).length > 0) {
          world.check.violation("P4 a neighbour waits", `${neighbour} at ${world.time.now}`)
        }
      }
      if (fullest < FRAME_LIMIT) world.check.violation("the scenario did not come about", `${fullest} frames wait`)
      settle(world)
      if (world.check.counts["gap overflow"] === undefined) {
        world.check.violation("P3 dropped, and nobody was told", "no gap overflow")
      }
    }
  },
  {
    name: "a socket that opens under a flood while its instance is frozen is read as far as its buffer goes",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      world.slowDials = 0
      // of those that pause their peer
      const id = world.connect(0, "flood-2")
      while (world.cluster.sockets.dialled.size === 0) world.go(1)
      world.freeze(0, 3_000)
      while (world.cluster.sockets.open.size === 0) world.go(1)
      const socket = [...world.cluster.sockets.open].find((one) => whose(one).id === id)!
      world.busSlow(300, 6_000)
      world.flood(socket, 5_000)
      for (let i = 0; i < 600; i++) world.go(10)
      if (!socket.isOpen || socket.unread < FRAME_LIMIT) {
        world.check.violation("the scenario did not come about", `${socket.unread} frames wait at the server`)
      }
      settle(world)
    }
  },
  {
    name: "what waits of a connection that came after one look, and was removed before the next",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const id = world.connect(0, "one")
      world.go(10_500)
      world.busDown(4_000)
      world.go(1_500)
      if (world.gauge(0, "buffer_frames") === 0) {
        world.check.violation("the scenario did not come about", "nothing waits")
      }
      world.disconnect(0, id)
      world.go(100)
      settle(world)
    }
  }
]
