/** The HTTP port with all that is served on it, over a fake manager, on a free port of the loopback. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as HttpListener from "../../src/api/http/HttpListener.js"
import * as HttpServer from "../../src/api/http/HttpServer.js"
import * as RpcDoor from "../../src/api/rpc/RpcDoor.js"
import { defaults } from "../../src/config/Load.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { Health } from "../../src/manager/Health.js"
import * as StreamQuota from "../../src/manager/StreamQuota.js"
import { Essentials } from "../../src/observability/Essentials.js"
import { Metrics } from "../../src/observability/Metrics.js"
import * as Client from "../../src/rpc/Client.js"
import * as FakeManager from "./FakeManager.js"

export const settings = (changes: Partial<SettingsShape> = {}): SettingsShape => ({
  ...defaults,
  dataDir: "",
  httpPort: 0,
  grpcPort: 0,
  instanceId: "fake",
  logLevel: "none",
  ...changes
})

export interface FakeHealth {
  phase: string
  ready: boolean
}

export interface DoorsOptions {
  readonly settings?: Partial<SettingsShape>
  readonly advertised?: string
  readonly quota?: number
  readonly manager?: Parameters<typeof FakeManager.make>[0]
}

/** Serves until the scope closes. */
export const start = (options: DoorsOptions = {}) =>
  Effect.gen(function* () {
    const fake = FakeManager.make(options.manager)
    const health: FakeHealth = { phase: "ready", ready: true }
    const fakeHealth = Layer.succeed(Health, {
      ready: () => health.ready,
      phase: () => health.phase,
      report: Effect.succeed([
        { name: "stateStore", status: "ok" as const, detail: "answers" },
        { name: "pubsub", status: "degraded" as const, detail: "no answer" }
      ]),
      onChange: () => () => {}
    })
    const base = Layer.mergeAll(
      fake.layer,
      fakeHealth,
      Layer.provideMerge(Essentials.layer, Metrics.layer),
      Layer.sync(StreamQuota.StreamQuota, () => StreamQuota.make(options.quota ?? StreamQuota.MAX_STREAMS)),
      Layer.provideMerge(HttpListener.layer, Layer.succeed(Settings, settings(options.settings)))
    )
    const served = HttpServer.layer({ advertised: options.advertised ?? "http://advertised.example:5001" })
    const context = yield* Layer.build(served.pipe(Layer.provideMerge(RpcDoor.layer), Layer.provideMerge(base))).pipe(
      Logger.withMinimumLogLevel(LogLevel.None)
    )
    const listener = Context.get(context, HttpListener.HttpListener)
    return {
      ...fake,
      health,
      metrics: Context.get(context, Metrics),
      quota: Context.get(context, StreamQuota.StreamQuota),
      listener,
      url: listener.address
    }
  })

/** A client over the named transport, until the scope closes. */
export const client = (transport: "ws" | "http", url: string, token?: string) =>
  Effect.map(
    Layer.build(
      (transport === "ws" ? Client.layer : Client.layerHttp)({
        url,
        token: token === undefined ? undefined : Redacted.make(token)
      })
    ),
    Context.get(Client.ManagerClient)
  )
