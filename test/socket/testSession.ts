/** A session over real sockets: what the tests of this folder need to open one. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { TargetForbidden } from "../../src/domain/Errors.js"
import { CALLER } from "../../src/domain/Limits.js"
import type { ExpectStep, ResolvedSpec } from "../../src/domain/Spec.js"
import { specTemplates } from "../../src/domain/validation/SpecTemplates.js"
import { parseTemplate } from "../../src/domain/Templates.js"
import { resolveSpec } from "../../src/domain/validation/Validate.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { SecretMissing, Secrets } from "../../src/ports/Secrets.js"
import * as ClientWrapper from "../../src/socket/ClientWrapper.js"
import * as DialBudget from "../../src/socket/dial/DialBudget.js"
import { layer } from "../../src/socket/SessionsLive.js"
import { type DialCause, type Session, type SessionOptions, Sessions } from "../../src/socket/wire/Session.js"

/** Every default of the contract. */
export const specOf = (url: string, more: Partial<ResolvedSpec> = {}): ResolvedSpec => {
  const spec = { ...Either.getOrThrow(resolveSpec({ url })), ...more }
  return { ...spec, templates: specTemplates(spec) }
}

export const reconnectWith = (dialTimeoutMs: number) => ({ ...specOf("ws://x").reconnect, dialTimeoutMs })

export const text = (data: string) => ({
  kind: "text" as const,
  data: Buffer.from(data),
  template: parseTemplate(data)
})
export const expectFrame = (jsonPath = "", equals = "", more: Partial<ExpectStep> = {}): ExpectStep => ({
  kind: "expect",
  jsonPath,
  equals,
  timeoutMs: 5000,
  capture: [],
  ...more
})

export interface Surroundings {
  readonly settings?: Partial<SettingsShape>
  readonly secrets?: Readonly<Record<string, string>>
  readonly client?: ClientWrapper.ClientOptions
  readonly share?: () => number
}

export const sessionsLayer = ({ client, secrets = {}, settings, share }: Surroundings = {}) =>
  layer.pipe(
    Layer.provide(ClientWrapper.layer(client)),
    Layer.provide(DialBudget.layer(share)),
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(Settings, {
          host: "127.0.0.1",
          egress: "any",
          egressAllow: [],
          egressDeny: [],
          egressNat64: [],
          dnsServers: [],
          secretHosts: new Map(),
          dialRatePerHost: 1000,
          dialRatePerAddress: 5000,
          dialRateTotal: 20_000,
          ...settings
        } as Partial<SettingsShape> as SettingsShape),
        Layer.succeed(Secrets, {
          resolve: (name) =>
            name in secrets
              ? Effect.succeed(Redacted.make(secrets[name]!))
              : Effect.fail(new SecretMissing({ name, reason: "not configured" }))
        }),
        Metrics.layer
      )
    )
  )

/** Waits until a condition of this side of the wire holds, looking at each turn of the event loop. */
export const eventually = (condition: () => boolean, timeoutMs = 5000): Effect.Effect<void> =>
  Effect.promise(async () => {
    const started = performance.now()
    while (!condition()) {
      if (performance.now() - started > timeoutMs)
        throw new Error(`not within ${timeoutMs} ms: ${condition.toString()}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

export interface Opened {
  readonly session: Session
  /** text of the ordinary frames so far */
  readonly frames: Array<string>
}

/** Opens a session that keeps the text of its frames; `options` may replace any of its parts. */
export const open = (
  spec: ResolvedSpec,
  options: Partial<SessionOptions> = {}
): Effect.Effect<Opened, DialCause | TargetForbidden, Sessions | Scope.Scope> =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const frames: Array<string> = []
    const session = yield* sessions.open({
      connectionId: "c1",
      instanceId: "i1",
      epoch: 7,
      spec,
      onFrame: (data) => frames.push(data.toString()),
      budget: new ByteBudget(CALLER.CONNECTION_BYTES),
      onTooExpensive: () => false,
      mayDial: () => true,
      mayAct: () => true,
      ...options
    })
    return { session, frames }
  })
