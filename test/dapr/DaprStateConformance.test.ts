/** S01–S11 over a real sidecar and each tested store. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { MAX_VALUE_BYTES } from "../../src/adapters/dapr/DaprState.js"
import { stateStoreConformance } from "../conformance/StateStoreConformance.js"
import { requiring } from "../support/Requirements.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { shared } from "./shared.js"
import { handle, STORES } from "./stateStores.js"

for (const [name, { start, tools }] of Object.entries(STORES)) {
  requiring("daprd", ...tools)(`DaprState (${name})`, () => {
    const harness = shared(
      Effect.gen(function* () {
        const { sidecars } = yield* start
        const proxy = yield* StallingProxy.start(sidecars[0].grpcPort)
        return {
          a: yield* handle(sidecars[0], { grpcPort: proxy.port }),
          b: yield* handle(sidecars[1]),
          shortestTtl: Duration.seconds(2),
          elapse: Effect.sleep,
          maxValueBytes: MAX_VALUE_BYTES,
          deadline: Duration.seconds(4),
          // what it swallowed never arrives; that interruption reaches the sidecar: DaprStateConnection.test.ts
          stall: Effect.acquireRelease(proxy.stall, () => Effect.zipRight(proxy.cut, proxy.resume))
        }
      })
    )
    stateStoreConformance(`daprd, ${name}`, harness, { live: true })
  })
}
