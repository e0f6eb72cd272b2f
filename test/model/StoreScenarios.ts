/** The store away for all, and back empty. */
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import { fleet, only, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"
import { whose } from "./Sockets.js"

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
  },
  {
    name: "the store comes back empty: everybody joins again, and creates anew what it held",
    play: (world) => {
      fleet(world, 3)
      world.refusals = 0
      const ids = Array.from({ length: 9 }, (_, i) => world.connect(i % 3, `key-${i}`))
      world.go(4_000)
      const before = [0, 1, 2].map((number) => world.incarnation(number))
      const epochs = new Map(ids.map((id) => [id, world.rows().get(connectionKey(id))?.["epoch"] as number]))
      world.wipe()
      // nothing is shown as connected that is being dialled
      for (let i = 0; i < 600; i++) world.go(20)
      for (const number of [0, 1, 2]) {
        if (world.incarnation(number) === before[number]) {
          world.check.violation("P1 the store is empty, and a life goes on", `${number}`)
        }
      }
      for (const [i, id] of ids.entries()) {
        const record = world.rows().get(connectionKey(id))
        if (record?.["owner"] !== `instance-${i % 3}` || record["epoch"] <= epochs.get(id)!) {
          world.check.violation("P2 what the store forgot is not created anew", `${id}: ${JSON.stringify(record)}`)
        }
        const open = [...world.cluster.sockets.open].filter((socket) => whose(socket).id === id)
        if (open.length !== 1) world.check.violation("P2 not up exactly once", `${id}: ${open.length} sockets`)
      }
      if (world.check.fences.length > 0) {
        world.check.violation("P2 somebody is taken for dead", JSON.stringify(world.check.fences[0]))
      }
      settle(world)
    }
  },
  {
    name: "the store comes back empty under a Connect: the record that still lands is claimed, though no page names it",
    play: (world) => {
      fleet(world, 3)
      const id = world.idOf("one")
      world.fate = only(0, writes(connectionKey(id)), () => ({ arrives: 400, answers: 5 }))
      world.connect(0, "one")
      while (world.rows().get(pageKey("instance-0", 0))?.["ids"].length !== 1) world.go(1)
      world.wipe()
      world.go(450)
      if (!world.rows().has(connectionKey(id))) world.check.violation("the scenario did not come about", "no record")
      world.fate = undefined
      world.go(12_000)
      settle(world)
      const open = [...world.cluster.sockets.open].filter((socket) => whose(socket).id === id)
      if (open.length !== 1) world.check.violation("P2 not up exactly once", `${open.length} sockets`)
    }
  },
  {
    name: "the store comes back empty while one is killed: the others' connections are up, once each",
    play: (world) => {
      fleet(world, 3)
      world.refusals = 0
      const ids = Array.from({ length: 6 }, (_, i) => world.connect(i % 3, `key-${i}`))
      world.go(4_000)
      world.outage(10_000)
      world.go(5_000)
      world.crash(2)
      world.wipe()
      world.go(20_000)
      for (const [i, id] of ids.entries()) {
        const open = [...world.cluster.sockets.open].filter((socket) => whose(socket).id === id)
        // what only the dead one and the store knew is nobody's
        if (open.length !== (i % 3 === 2 ? 0 : 1)) {
          world.check.violation("P2 not up exactly once", `${id}: ${open.length} sockets`)
        }
      }
      settle(world)
    }
  }
]
