/** Writes whose answer is lost, that come late, or whose caller has gone. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connectionKey, instanceKey } from "../../src/domain/stored/Keys.js"
import { fleet, LOST, type Scenario, writes } from "./Directing.js"
import { settle } from "./Plan.js"

export const WRITE: ReadonlyArray<Scenario> = [
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
    name: "a Disconnect whose caller goes away in the middle of it is done, or is not begun",
    play: (world) => {
      fleet(world, 2)
      const id = world.connect(0, "one")
      world.go(1_000)
      // nobody is left to hear how it went
      world.check.callers.begin("disconnect", id)
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
  }
]
