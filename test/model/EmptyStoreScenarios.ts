/** The store comes back empty: what is made anew, what is excused, and what stands just beside that and is found. */
import { connectionKey, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { fleet, only, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"
import { whose } from "./Sockets.js"
import type { World } from "./World.js"

const upOnce = (world: World, id: string): void => {
  const open = [...world.cluster.sockets.open].filter((socket) => whose(socket).id === id)
  if (open.length !== 1) world.check.violation("P2 not up exactly once", `${id}: ${open.length} sockets`)
}
const cameAbout = (world: World, that: boolean, what: string): void => {
  if (!that) world.check.violation("the scenario did not come about", what)
}
const LATE = "a create that was sent before the store was emptied lands after it"

export const EMPTY_STORE: ReadonlyArray<Scenario> = [
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
  },
  {
    name: "the store comes back empty under a Connect of one who is killed: its record lands, and is the next one's who asks",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const id = world.idOf("one")
      const sent: Array<number> = []
      world.fate = only(0, writes(connectionKey(id)), () => (sent.push(world.time.now), { arrives: 400, answers: 5 }))
      world.connect(0, "one")
      while (sent.length === 0) world.go(1)
      world.wipe()
      world.crash(0)
      world.go(400)
      world.fate = undefined
      cameAbout(world, world.check.counts[LATE] === 1 && world.rows().has(connectionKey(id)), "no record")
      settle(world)
      world.connect(1, "one")
      world.go(3_000)
      upOnce(world, id)
      settle(world)
    }
  },
  {
    name: "the store comes back empty before a page lands: it names nothing, until its instance writes it again",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const page = pageKey("instance-0", 0)
      world.fate = only(0, writes(page), () => ({ arrives: 400, answers: 5 }))
      world.connect(0, "one")
      world.go(50)
      world.wipe()
      world.crash(0)
      world.go(400)
      world.fate = undefined
      cameAbout(world, world.check.counts[LATE] === 1 && world.rows().has(page), "no page")
      settle(world)
      const again = world.restart(world.instance(0), "process")
      world.go(5_000)
      const two = world.connect(again, "two")
      world.go(3_000)
      upOnce(world, two)
      settle(world)
    }
  },
  {
    name: "the store comes back empty under an instance without a page: a Connect finds that out, and is not taken",
    play: (world) => {
      world.refusals = 0
      world.start()
      world.go(1_000)
      world.start()
      world.go(6_000)
      const [first, second] = [world.incarnation(0), world.incarnation(1)]
      const beat = () => world.rows().get(instanceKey("instance-0"))?.["beat"]
      for (const last = beat(); beat() === last;) world.go(10)
      world.wipe()
      // the other has its next beat a second before this one
      while (world.incarnation(1) === second || !world.cluster.isReady(1)) world.go(10)
      cameAbout(world, world.incarnation(0) === first && world.cluster.isReady(0), "it has seen it too")
      const id = world.connect(0, "one")
      world.go(200)
      world.connect(1, "one")
      world.go(5_000)
      upOnce(world, id)
      settle(world)
    }
  },
  {
    name: "the store comes back empty after a create has landed whose answer is lost: it is not created a second time",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const key = connectionKey(world.idOf("one"))
      let sent = 0
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        if (writes(key)(call) && sent++ === 0) return { arrives: 2 }
        // it does not see by its own beat that the store is empty
        return writes(instanceKey("instance-0"))(call) && sent > 0 ? {} : undefined
      }
      world.connect(0, "one")
      while (!world.rows().has(key)) world.go(1)
      world.wipe()
      world.go(3_500)
      cameAbout(world, sent > 0, "it was not created")
      world.fate = undefined
      world.go(12_000)
      settle(world)
    }
  },
  {
    name: "the store comes back empty before a create is sent whose answer is lost: its record is claimed by the next life",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const [id, page] = [world.idOf("one"), pageKey("instance-0", 0)]
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        if (call.key === page) return { arrives: 2, answers: 50 }
        return silent && call.key === connectionKey(id) ? { arrives: 2 } : undefined
      }
      let silent = false
      const first = world.incarnation(0)
      world.connect(0, "one")
      while (!world.rows().has(page)) world.go(1)
      silent = true
      world.wipe()
      while (!world.rows().has(connectionKey(id))) world.go(1)
      cameAbout(world, !world.rows().has(page), "a page names it")
      while (world.incarnation(0) === first) world.go(10)
      world.fate = undefined
      world.go(12_000)
      upOnce(world, id)
      settle(world)
    }
  },
  {
    name: "the store comes back empty under a Connect, whose dial then ends with the lease: its record gets its tombstone",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const id = world.idOf("one")
      world.fate = only(0, writes(pageKey("instance-0", 0)), () => ({ arrives: 2, answers: 200 }))
      world.connect(0, "one")
      while (!world.rows().has(pageKey("instance-0", 0))) world.go(1)
      world.wipe()
      while (world.cluster.sockets.dialled.size === 0) world.go(1)
      cameAbout(world, world.rows().has(connectionKey(id)), "no record")
      world.fate = undefined
      world.freeze(0, 8_000)
      world.go(12_000)
      cameAbout(world, world.cluster.isReady(0), "it has not joined again")
      settle(world)
    }
  }
]

/** A scenario in which exactly one promise is broken, for exactly this connection. */
export interface Outside extends Scenario {
  readonly found: string
  readonly key: string
}

/** The record of "one" was sent before, and is excused; that of "two" is sent after, by the same life that has not seen it yet. */
export const OUTSIDE: ReadonlyArray<Outside> = [
  {
    name: "a create that is sent after the store was emptied, beside one that was sent before",
    found: "P2 a record that no page names",
    key: "two",
    play: (world) => {
      fleet(world, 2)
      world.refusals = 0
      const [one, two] = [world.idOf("one"), world.idOf("two")]
      const page = pageKey("instance-0", 0)
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        if (writes(connectionKey(one))(call)) return { arrives: 600, answers: 5 }
        return call.operation === "replace" && call.key === page ? { arrives: 2, answers: 200 } : undefined
      }
      world.connect(0, "one")
      world.go(100)
      world.connect(0, "two")
      while (world.rows().get(page)?.["ids"].length !== 2) world.go(1)
      world.wipe()
      while (!world.rows().has(connectionKey(two))) world.go(1)
      world.crash(0)
      world.go(600)
      cameAbout(world, world.check.counts[LATE] === 1 && world.rows().has(connectionKey(one)), "no record")
      settle(world)
    }
  },
  {
    name: "a page that is sent after the store was emptied",
    found: "P2 an id for ever without a record",
    key: "one",
    play: (world) => {
      fleet(world, 2)
      const key = instanceKey("instance-0")
      // it asks whether it stands in the store, and hears that it does, from before
      world.fate = only(
        0,
        (call) => call.operation === "get" && call.key === key,
        () => ({ arrives: 2, answers: 200 })
      )
      world.connect(0, "one")
      world.go(100)
      world.wipe()
      while (!world.rows().has(pageKey("instance-0", 0))) world.go(1)
      world.crash(0)
      settle(world)
    }
  }
]
