/**
 * One directed scenario for each line of "What goes wrong without it" (architecture, section 2), and for the grossest ways to
 * break the protocol: random faults alone do not find these.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connectionKey, INDEX_KEY, instanceKey, pageKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, only, type Scenario, writes } from "./Directing.js"
import { LIARS } from "./LiarScenarios.js"
import { FRAME_LIMIT } from "./Limits.js"
import { MOVES } from "./MoveScenarios.js"
import { settle } from "./Plan.js"
import { POISON } from "./PoisonScenarios.js"
import { whose } from "./Sockets.js"

export const SCENARIOS: ReadonlyArray<Scenario> = [
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
    name: "a create whose answer is lost is found to have happened, by its nonce",
    play: (world) => {
      fleet(world, 2)
      let lost = false
      world.fate = (_, { key, operation }) => {
        if (lost || operation !== "create" || !key.includes("/connections/") || key.includes("/instances/")) return
        lost = true
        return { arrives: 2 }
      }
      const id = world.connect(0, "one")
      world.go(5_000)
      if (world.check.epochsOf(id) !== 1) world.check.violation("an epoch was wasted", `${world.check.epochsOf(id)}`)
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
  },
  {
    name: "a write is repeated under a lease only: after a freeze its tombstone may have gone",
    play: (world) => {
      fleet(world, 2)
      const id = world.idOf("one")
      const mine = writes(connectionKey(id))
      let sent = 0
      world.fate = (instance, call) => {
        if (instance !== 0) return undefined
        if (mine(call) && sent++ === 0) return LOST
        // its heart is silent, so that nobody tells it
        return sent > 0 && writes(instanceKey("instance-0"))(call) ? LOST : undefined
      }
      world.connect(0, "one")
      world.go(600)
      world.freeze(0, 20_000)
      world.go(19_500)
      // an hour later
      world.meddle(connectionKey(id), () => undefined)
      world.go(5_000)
      world.fate = undefined
      settle(world)
    }
  },
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
    name: "an epoch grows over a tombstone that has expired",
    play: (world) => {
      fleet(world, 2)
      const id = world.connect(0, "one")
      world.go(1_000)
      world.disconnect(0, id)
      world.go(2_000)
      world.meddle(connectionKey(id), () => undefined)
      world.connect(0, "one")
      world.go(2_000)
      settle(world)
    }
  },
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
  },
  {
    name: "a Disconnect whose caller goes away in the middle of it is done, or is not begun",
    play: (world) => {
      fleet(world, 2)
      const id = world.connect(0, "one")
      world.go(1_000)
      // nobody is left to hear how it went
      world.check.begin("disconnect", id)
      world.time.run(
        Effect.ignore(
          world.cluster.run(0, (manager) =>
            Effect.gen(function* () {
              const fiber = yield* Effect.fork(manager.disconnect({ id }))
              while (world.cluster.sockets.open.size > 0) yield* Effect.yieldNow()
              yield* Fiber.interrupt(fiber)
            })
          )
        )
      )
      world.go(5_000)
      settle(world)
    }
  },
  ...MOVES,
  ...POISON,
  ...LIARS
]
