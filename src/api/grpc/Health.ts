/**
 * `grpc.health.v1.Health`: SERVING while the instance is ready, NOT_SERVING while it boots, drains or is fenced, for the whole
 * server ("") and for the service by name alike.
 */
import type { Server } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { HealthImplementation } from "grpc-health-check"
import { Health } from "../../manager/Health.js"
import { WebSocketManagerService } from "./generated/websocketmanager/v1/websocketmanager_pb.js"

const NAMES = ["", WebSocketManagerService.typeName]

/** Follows the manager's health until the scope closes, which says NOT_SERVING. */
export const addTo = (server: Server): Effect.Effect<void, never, Health | Scope.Scope> =>
  Effect.gen(function* () {
    const health = yield* Health
    const implementation = new HealthImplementation()
    let told: boolean | undefined
    const tell = (ready: boolean) => {
      if (ready === told) return
      told = ready
      for (const name of NAMES) implementation.setStatus(name, ready ? "SERVING" : "NOT_SERVING")
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const stop = health.onChange(tell)
        tell(health.ready())
        return stop
      }),
      (stop) =>
        Effect.sync(() => {
          stop()
          tell(false)
        })
    )
    implementation.addToServer(server)
  })
