/** Directed scenarios of a peer that lies, and of a row in the store that does: the promises hold all the same. */
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, only, type Scenario, writes } from "./Directing.js"
import { Liar } from "./Liar.js"
import { settle } from "./Plan.js"
import type { World } from "./World.js"

/** What is open now is open after it, and nobody was fenced but the liar. */
const unharmed = (world: World, body: () => void): void => {
  const open = [...world.cluster.sockets.open]
  if (open.length === 0) world.check.violation("the scenario did not come about", "no socket is open")
  body()
  for (const socket of open) {
    if (!socket.isOpen) world.check.violation("P6 a socket closed", `${socket.instance}`)
  }
  const fence = world.check.fences.find(({ ofLiving }) => ofLiving)
  if (fence !== undefined) world.check.violation("P6 a living one was fenced", JSON.stringify(fence))
}

const busy = (world: World, instances: number): void => {
  fleet(world, instances)
  world.refusals = 0
  for (let i = 0; i < 2 * instances; i++) world.connect(i % instances, `key-${i}`)
  world.go(4_000)
}

export const LIARS: ReadonlyArray<Scenario> = [
  {
    name: "a liar says hello, in any name, while the store is away for all: no socket closes",
    play: (world) => {
      busy(world, 3)
      const liar = new Liar(world)
      const { address, id } = world.instance(0)
      const names = [
        liar.me,
        { ...liar.me, id },
        { id, incarnation: liar.me.incarnation, address },
        { id, incarnation: world.incarnation(0)!, address: liar.me.address }
      ]
      unharmed(world, () => {
        liar.hello({ ...liar.me, incarnation: liar.me.incarnation.replace(/.$/, "2") }, 40_000)
        world.go(500)
        world.outage(30_000)
        for (const name of names) liar.hello(name, 40_000)
        world.go(45_000)
      })
      if (liar.answered < 300) world.check.violation("the scenario did not come about", `${liar.answered} hellos`)
      settle(world)
    }
  },
  {
    name: "one waits for an id whose holder, alone, does not reach the store: it waits, and the holder goes on",
    play: (world) => {
      busy(world, 1)
      unharmed(world, () => {
        world.cutFromStore(0, 25_000)
        world.start({ id: "instance-0" })
        world.go(35_000)
      })
      settle(world)
    }
  },
  {
    name: "a liar says hello to one alone that cannot reach the store: it goes on",
    play: (world) => {
      busy(world, 1)
      const liar = new Liar(world)
      unharmed(world, () => {
        world.outage(30_000)
        liar.hello(liar.me, 20_000)
        world.go(40_000)
      })
      if (liar.answered < 15) world.check.violation("the scenario did not come about", `${liar.answered} hellos`)
      settle(world)
    }
  },
  {
    name: "a member that lies says `fenced` to one whose beat is late: the store says otherwise, and it goes on",
    play: (world) => {
      busy(world, 2)
      const liar = new Liar(world)
      liar.answers({ verdict: "fenced" })
      liar.row()
      world.go(3_000)
      let asked = 0
      unharmed(world, () => {
        const until = world.time.now + 3_500
        world.fate = only(0, writes(instanceKey("instance-0")), () =>
          world.time.now < until ? (asked++, LOST) : undefined
        )
        world.go(6_000)
        world.fate = undefined
      })
      if (asked === 0) world.check.violation("the scenario did not come about", "no beat was late")
      liar.gone()
      settle(world)
    }
  },
  {
    name: "rows that lie are fenced for their silence, and then cost no socket when the store is away for all",
    play: (world) => {
      busy(world, 2)
      const liar = new Liar(world)
      liar.row({}, "liar", false)
      liar.row({ address: "file:///etc/passwd", incarnation: "no-address" }, "no-address", false)
      const living = world.rows().get(instanceKey("instance-0"))!
      liar.row({ ...living }, "copy", false)
      world.go(15_000)
      unharmed(world, () => {
        world.outage(20_000)
        world.go(25_000)
      })
      for (const id of ["liar", "no-address", "copy"]) liar.gone(id)
      settle(world)
    }
  },
  {
    name: "a copy of a living record under another id is nobody: who is frozen is found out all the same",
    play: (world) => {
      busy(world, 3)
      new Liar(world).row({ ...world.rows().get(instanceKey("instance-1"))! }, "copy", false)
      world.go(3_000)
      const frozen = world.incarnation(0)
      world.freeze(0, 30_000)
      world.go(15_000)
      if (!world.check.fences.some(({ incarnation }) => incarnation === frozen)) {
        world.check.violation("P2 nobody finds out who is dead", "no fence")
      }
      settle(world)
    }
  },
  {
    name: "an index that names what can be no instance is read without it: who is killed is taken over",
    play: (world) => {
      busy(world, 3)
      world.fate = (_, { key, operation }) =>
        // as a store that refuses such a key refuses the whole read
        operation === "getMany" && key.includes("nonsense") ? { refused: true } : undefined
      world.meddle(INDEX_KEY, (index) => ({
        ...index,
        ids: { ...(index?.["ids"] as object), _index: "x", "no/nonsense": "x" },
        nonce: "liar"
      }))
      world.go(5_000)
      world.freeze(0, 30_000)
      world.go(15_000)
      if (!world.check.fences.some(({ reason }) => reason === "silence")) {
        world.check.violation("P2 nobody finds out who is dead", "no fence")
      }
      settle(world)
    }
  }
]
