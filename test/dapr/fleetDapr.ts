/** A fleet whose every instance has a sidecar of its own, all of them over the same store and broker. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Fleet, type FleetBacking, type FleetEvent, NAMES } from "../process/processFleet.js"
import { cleanUp } from "../process/instanceProcess.js"
import * as C from "../support/Components.js"
import type { ProcessFailed } from "../support/processes.js"
import { type Redis, startRedis } from "../support/Redis.js"
import { streamEntries } from "../support/RedisStream.js"
import { type Sidecar, startSidecar } from "../support/Sidecar.js"
import { LIFECYCLE } from "./judgedFeeds.js"
import { beside } from "./besideSidecar.js"

export interface DaprFleet {
  readonly fleet: Fleet
  readonly sidecar: (name: string) => Sidecar
  /** of the broker: what else is in it, is the store's */
  readonly broker: Redis
}

/** Started, connected and under load; gone with the scope, the instances first. */
export const startFleet = (state: C.Resource, broker: Redis): Effect.Effect<DaprFleet, ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const resources = [state, C.pubsubRedis(broker.port)]
    const started = yield* Effect.forEach(NAMES, () => startSidecar({ resources }), { concurrency: "unbounded" })
    const sidecars = new Map<string, Sidecar>(NAMES.map((name, i) => [name, started[i]!]))
    const lifecycle = reader(broker.port)
    const backing: FleetBacking = {
      env: async (name) => beside(sidecars.get(name)!, { WSM_INSTANCE_ID: name }),
      joined: async () => {},
      frames: reader(broker.port),
      lifecycle: () => lifecycle(LIFECYCLE),
      stored: async (keys) => {
        const answer = await fetch(`${started[0]!.url}/v1.0/state/${C.STATE}/bulk`, {
          method: "POST",
          body: JSON.stringify({ keys, parallelism: 10 })
        })
        return ((await answer.json()) as ReadonlyArray<{ readonly data: Record<string, unknown> }>).map(
          ({ data }) => data
        )
      }
    }
    yield* Effect.addFinalizer(() => Effect.promise(cleanUp))
    const fleet = yield* Effect.promise(() => Fleet.start(backing))
    return { fleet, sidecar: (name) => sidecars.get(name)!, broker }
  })

/** State and events in one Redis. */
export const redisFleet: Effect.Effect<DaprFleet, ProcessFailed, Scope.Scope> = Effect.flatMap(startRedis(), (redis) =>
  startFleet(C.stateRedis(redis.port), redis)
)

/** All events of one topic as they stand in the broker; what was read once is not read again. */
const reader = (port: number) => {
  const events: Array<FleetEvent> = []
  let after: string | undefined
  return async (topic: string): Promise<ReadonlyArray<FleetEvent>> => {
    for (const { data, id } of await streamEntries(port, topic, after)) {
      after = id
      events.push(JSON.parse(data.toString()) as FleetEvent)
    }
    return events
  }
}
