/** What becomes of the connections of an instance that has died, is frozen or is cut off. */
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, only, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"

export const TAKEOVER: ReadonlyArray<Scenario> = [
  {
    name: "a process is killed: its connections are up elsewhere, with higher epochs, on the pages of their owners",
    play: (world) => {
      fleet(world, 3)
      for (let i = 0; i < 6; i++) world.connect(0, `key-${i}`)
      world.go(1_000)
      world.crash(0)
      world.go(3_000)
      settle(world)
    }
  },
  {
    name: "an instance that is frozen for twelve seconds is fenced before anybody takes its connections",
    play: (world) => {
      fleet(world, 3)
      for (let i = 0; i < 4; i++) world.connect(0, `key-${i}`)
      // so long that the first status has been written, which says where the streams are
      world.go(3_000)
      world.freeze(0, 12_000)
      world.go(16_000)
      settle(world)
    }
  },
  {
    name: "an instance that is cut off alone stops before the others take over",
    play: (world) => {
      fleet(world, 3)
      for (let i = 0; i < 4; i++) world.connect(0, `key-${i}`)
      world.go(1_000)
      world.cutFromStore(0, 15_000)
      // nobody tells it either
      for (const other of [1, 2]) world.cutPeers(0, other, 15_000)
      world.go(18_000)
      settle(world)
    }
  },
  {
    name: "a page that is made late, by who has died, finds the first missing one sealed",
    play: (world) => {
      fleet(world, 3)
      world.fate = only(0, writes(pageKey("instance-0", 0)), () => ({ arrives: 7_500 }))
      world.connect(0, "one")
      world.go(50)
      world.crash(0)
      world.go(8_000)
      settle(world)
    }
  },
  {
    name: "a third, dead owner on the victim's page is an orphan too",
    play: (world) => {
      fleet(world, 3)
      const id = world.connect(0, "one")
      world.go(1_000)
      world.meddle(connectionKey(id), (record) => ({ ...record, owner: "third", incarnation: "ended" }))
      world.crash(0)
      world.go(5_000)
      settle(world)
    }
  },
  {
    name: "a late create of who has died finds a tombstone",
    play: (world) => {
      fleet(world, 3)
      const id = world.connect(0, "one", { requestId: "one" })
      world.go(10)
      world.disconnect(0, id)
      world.go(500)
      const late = world.idOf("two")
      world.fate = only(0, writes(connectionKey(late)), () => ({ arrives: 7_000 }))
      world.connect(0, "two")
      world.go(150)
      world.crash(0)
      world.go(8_000)
      settle(world)
    }
  },
  {
    name: "a late create over a tombstone finds it renewed",
    play: (world) => {
      fleet(world, 3)
      const id = world.connect(0, "one")
      world.go(500)
      world.disconnect(0, id)
      world.go(2_000)
      world.fate = only(0, writes(connectionKey(id)), () => ({ arrives: 7_000 }))
      world.connect(0, "one")
      world.go(150)
      world.crash(0)
      world.go(8_000)
      settle(world)
    }
  },
  {
    name: "a late claim of an offer, by a target that has died, finds the offer withdrawn",
    play: (world) => {
      fleet(world, 3)
      world.refusals = 0
      const id = world.connect(0, "one")
      world.go(6_000)
      let claimed = false
      world.fate = only(1, writes(connectionKey(id)), () => {
        claimed = true
        world.time.after(4, () => {
          world.crash(1)
          // who offered it cannot take it back before the claim lands
          world.freeze(0, 4_300)
        })
        return { arrives: 3_600 }
      })
      world.migrate(0, id, "instance-1")
      world.go(12_000)
      if (!claimed) world.check.violation("the scenario did not come about", "the target did not claim")
      settle(world)
    }
  },
  {
    name: "a claim that is lost to a late write of the dead owner is tried again",
    play: (world) => {
      fleet(world, 2)
      const id = world.connect(0, "one")
      world.go(1_000)
      let meddled = false
      world.fate = (instance, call) => {
        if (instance !== 1 || meddled || !writes(connectionKey(id))(call)) return undefined
        meddled = true
        world.meddle(connectionKey(id), (record) => ({ ...record, lastError: "late", nonce: "late" }))
        return undefined
      }
      world.crash(0)
      world.go(5_000)
      settle(world)
    }
  },
  {
    name: "what an instance believes to own is sorted by the store: the target had claimed it, and died",
    play: (world) => {
      fleet(world, 2)
      const id = world.connect(0, "one")
      world.go(6_000)
      world.fate = (instance, call) => {
        // the former owner hears of it from nobody but whoever takes over
        if (instance === 0 && call.operation === "get" && call.key === connectionKey(id)) return LOST
        if (instance !== 1 || !writes(connectionKey(id))(call)) return undefined
        world.time.after(4, () => world.crash(1))
        return { arrives: 2 }
      }
      world.migrate(0, id, "instance-1")
      world.go(8_000)
      settle(world)
    }
  }
]
