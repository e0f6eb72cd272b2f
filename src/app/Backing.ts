/** What the manager stands on, by the setting `backing`: a store, a bus, secrets, and what `/health` asks beside them. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DaprPubSub from "../adapters/dapr/DaprPubSub.js"
import * as DaprSecrets from "../adapters/dapr/DaprSecrets.js"
import * as DaprState from "../adapters/dapr/DaprState.js"
import * as Sidecar from "../adapters/dapr/Sidecar.js"
import * as FileState from "../adapters/embedded/FileState.js"
import * as MemoryPubSub from "../adapters/embedded/MemoryPubSub.js"
import * as MemoryState from "../adapters/embedded/MemoryState.js"
import * as LocalSecrets from "../adapters/secrets/LocalSecrets.js"
import type { SettingsShape } from "../config/SettingsShape.js"
import type { NotAvailable, StateStoreUnavailable } from "../domain/Errors.js"
import { Dependencies } from "../manager/Health.js"
import type { PubSub } from "../ports/PubSub.js"
import type { Secrets } from "../ports/Secrets.js"
import type { StateStore } from "../ports/StateStore.js"

export type BackingFailure = NotAvailable | StateStoreUnavailable

export interface Backing {
  readonly stateStore: Layer.Layer<StateStore, BackingFailure>
  readonly pubSub: Layer.Layer<PubSub, BackingFailure>
  readonly secrets: Layer.Layer<Secrets, BackingFailure>
  readonly dependencies: Layer.Layer<never, BackingFailure>
}

/** Which of the ports the backing is asked for; the others were handed in. */
export type Asked = Readonly<Record<"stateStore" | "pubSub" | "secrets", boolean>>

type Env = Readonly<Record<string, string | undefined>>

export const make = (settings: SettingsShape, env: Env, asked: Asked): Backing =>
  settings.backing === "dapr" ? dapr(settings, env, asked) : embedded(settings, env)

const embedded = (settings: SettingsShape, env: Env): Backing => ({
  stateStore: settings.dataDir === "" ? MemoryState.layer() : FileState.layer(settings.dataDir),
  pubSub: MemoryPubSub.layer,
  secrets: LocalSecrets.layer({ dir: settings.secretsDir, env }),
  dependencies: Layer.empty
})

/** One sidecar for all three ports; where none of the three is asked for, there is no sidecar to wait for. */
const dapr = (settings: SettingsShape, env: Env, asked: Asked): Backing => {
  const sidecar = Sidecar.layer({
    endpoint: {
      host: settings.daprHost,
      httpPort: settings.daprHttpPort,
      grpcPort: settings.daprGrpcPort,
      apiToken: settings.daprApiToken
    },
    wait: settings.daprWait,
    needs: [
      ...(asked.stateStore ? [{ setting: "WSM_STATE_STORE", name: settings.stateStore, kind: "state" } as const] : []),
      ...(asked.pubSub ? [{ setting: "WSM_PUBSUB", name: settings.pubsub, kind: "pubsub" } as const] : [])
    ]
  })
  const pinged = Layer.effect(
    Dependencies,
    Effect.map(Sidecar.Sidecar, ({ ping }) => [{ name: "sidecar", ping }])
  )
  return {
    stateStore: Layer.provide(
      DaprState.layer({ component: settings.stateStore, allowUntested: settings.allowUntestedStore }),
      sidecar
    ),
    pubSub: Layer.provide(
      DaprPubSub.layer({ component: settings.pubsub, maxBytes: settings.publishMaxBytes }),
      sidecar
    ),
    secrets: Layer.provide(
      DaprSecrets.layer({
        component: settings.secretStore,
        local: LocalSecrets.make({ dir: settings.secretsDir, env })
      }),
      sidecar
    ),
    dependencies: Object.values(asked).includes(true) ? Layer.provide(pinged, sidecar) : Layer.empty
  }
}
