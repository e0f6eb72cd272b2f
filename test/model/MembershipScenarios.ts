/** Joining, leaving, and what keeps an instance in the index and under its lease. */
import { INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, only, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"

export const MEMBERSHIP: ReadonlyArray<Scenario> = [
  {
    name: "the index entry is written at every joining",
    play: (world) => {
      fleet(world, 2)
      world.connect(0, "one")
      world.go(500)
      world.crash(0)
      world.restart(world.instance(0), "process")
      world.go(5_000)
      settle(world)
    }
  },
  {
    name: "the index entry of somebody taken over goes by its incarnation, since the id may have joined again",
    play: (world) => {
      fleet(world, 2)
      world.connect(0, "one")
      world.go(500)
      let again = false
      world.fate = (instance, { key, operation }) => {
        if (instance !== 1 || operation !== "get" || key !== INDEX_KEY || again) return undefined
        if (world.rows().get(instanceKey("instance-0"))?.["status"] !== "done") return undefined
        again = true
        world.restart(world.instance(0), "process")
        return { arrives: 900, answers: 1 }
      }
      world.crash(0)
      world.go(10_000)
      if (!again) world.check.violation("the scenario did not come about", "nobody tidied the index")
      settle(world)
    }
  },
  {
    name: "who leaves with ids on its pages stays in the index",
    play: (world) => {
      fleet(world, 1)
      world.connect(0, "one")
      world.go(500)
      world.drain(0)
      world.go(14_000)
      world.start()
      settle(world)
    }
  },
  {
    name: "who leaves with a write on its way stays in the index",
    play: (world) => {
      fleet(world, 1)
      world.fate = only(0, writes(pageKey("instance-0", 0)), () => ({ arrives: 7_900 }))
      world.connect(0, "one")
      world.go(100)
      world.drain(0)
      world.go(14_000)
      world.start()
      settle(world)
    }
  },
  {
    name: "a stranger says hello: two who cannot read of it go on, and it does not count their silence",
    play: (world) => {
      fleet(world, 2)
      for (let i = 0; i < 4; i++) world.connect(i % 2, `key-${i}`)
      world.go(1_000)
      const stranger = world.start()
      while (!world.rows().has(instanceKey(`instance-${stranger}`))) world.go(1)
      world.cutFromStore(0, 25_000)
      world.cutFromStore(1, 25_000)
      world.go(28_000)
      settle(world)
    }
  },
  {
    name: "a lease that ran out is renewed by a beat only",
    play: (world) => {
      fleet(world, 2)
      for (let i = 0; i < 3; i++) world.connect(0, `key-${i}`)
      world.go(1_000)
      world.freeze(0, 21_000)
      world.go(1_000)
      world.start()
      world.go(11_000)
      world.crash(1)
      world.go(5_000)
      world.outage(30_000)
      world.go(25_000)
      settle(world)
    }
  },
  {
    name: "a lease counts from the sending of the attempt that landed",
    play: (world) => {
      fleet(world, 2)
      for (let i = 0; i < 3; i++) world.connect(0, `key-${i}`)
      world.go(1_500)
      const beat = writes(instanceKey("instance-0"))
      let landed: number | undefined
      let told = false
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        const since = landed === undefined ? 0 : world.time.now - landed
        if (beat(call)) {
          if (landed === undefined) {
            landed = world.time.now
            return { arrives: 2 }
          }
          return since > 4_200 && !told ? { arrives: 1, answers: 1 } : LOST
        }
        if (call.operation === "get" && call.key === instanceKey("instance-0") && since > 4_200 && !told) {
          told = true
          return { arrives: 1, answers: 1 }
        }
        return landed === undefined ? undefined : LOST
      }
      world.go(14_000)
      world.fate = undefined
      settle(world)
    }
  },
  {
    name: "a joiner whose first record was fenced joins with another incarnation",
    play: (world) => {
      fleet(world, 3)
      const again = world.cluster.instances.length
      const key = instanceKey("instance-1")
      let deaf = true
      let written = false
      world.fate = (instance, call) => {
        if (instance !== again || !deaf) return undefined
        if (written) return LOST
        if (!writes(key)(call)) return undefined
        written = true
        return { arrives: 2 }
      }
      world.crash(1)
      world.restart(world.instance(1), "process")
      world.go(12_000)
      deaf = false
      for (let i = 0; i < 12; i++) {
        world.go(400)
        if (world.ready.some(({ number }) => number === again)) world.connect(again, `key-${i}`)
      }
      if (!world.check.fences.some(({ reason }) => reason === "silence")) {
        world.check.violation("the scenario did not come about", "nobody fenced the joiner")
      }
      // those who fenced it take it for the new life that it is, and miss it
      world.crash(again)
      world.go(5_000)
      settle(world)
    }
  },
  {
    name: "an id in use by a living incarnation is waited for",
    play: (world) => {
      fleet(world, 2)
      for (let i = 0; i < 4; i++) world.connect(0, `key-${i}`)
      world.go(1_000)
      world.cutFromStore(0, 12_000)
      world.start({ id: "instance-0" })
      world.go(14_000)
      settle(world)
    }
  },
  {
    name: "a life that ends before its pages are its own leaves its connections to the next one",
    play: (world) => {
      fleet(world, 1)
      for (let i = 0; i < 3; i++) world.connect(0, `key-${i}`)
      world.go(1_000)
      world.crash(0)
      const again = world.restart(world.instance(0), "process")
      const key = instanceKey("instance-0")
      const page = pageKey("instance-0", 0)
      const life = () => world.rows().get(key)?.["incarnation"]
      const before = life()
      let asked = 0
      world.fate = only(
        again,
        (call) => call.key === page,
        () => (asked++, LOST)
      )
      world.go(4_000)
      const ended = life()
      if (asked === 0 || ended === before || world.rows().get(page)?.["incarnation"] !== before) {
        world.check.violation("the scenario did not come about", "its pages are its own")
      }
      world.meddle(key, (record) => ({ ...record, status: "dead", nonce: "a survivor" }))
      world.go(4_000)
      world.fate = undefined
      if (life() === ended) world.check.violation("the scenario did not come about", "it has not joined again")
      world.go(4_000)
      if (!world.cluster.isReady(again)) world.check.violation("P2 an instance for ever without work", "instance-0")
      settle(world)
    }
  }
]
