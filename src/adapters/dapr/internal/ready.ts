/** The wait at the start: until the sidecar serves and has loaded what is needed. */
import { connect } from "node:net"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NotAvailable } from "../../../domain/Errors.js"
import type { Endpoint, SidecarOptions } from "../Sidecar.js"
import type { Asked } from "./ask.js"
import * as Metadata from "./metadata.js"

export const OUTBOUND = "/v1.0/healthz/outbound"

const PAUSE = "200 millis"
/** Between two lines that say that we wait. */
const SAY_EVERY = 5000
/** For a connection to be made. */
const PATIENCE = 2000
/** A component that is not loaded now may be a moment later; and a sidecar whose component failed serves a moment before it ends. */
const SETTLING = 1000

type Get = (path: string) => Effect.Effect<Asked, { readonly message: string }>

/** What one look found: the components, why to wait on, or why waiting is of no use. */
type Look =
  | { readonly components: ReadonlyArray<Metadata.Component> }
  | { readonly missing: NotAvailable }
  | { readonly notYet: string }
  | { readonly refused: string }

/**
 * What the sidecar has loaded, once it serves. Says that it waits at once and every few seconds. Fails with one line for the
 * operator: when the time is up, and at once when waiting is of no use.
 */
export const ready = ({ endpoint, needs, wait }: SidecarOptions, get: Get) =>
  Effect.gen(function* () {
    const feature = `the Dapr sidecar at ${endpoint.host}:${endpoint.httpPort}`
    const began = yield* Clock.currentTimeMillis
    const deadline = began + Duration.toMillis(wait)
    let saidAt: number | undefined
    let missingSince: number | undefined
    for (;;) {
      const found = yield* look(get, endpoint, needs)
      const now = yield* Clock.currentTimeMillis
      if ("components" in found) {
        if (saidAt !== undefined) yield* Effect.logInfo(`${feature} serves, after ${seconds(now - began)} s`)
        return found.components
      }
      if ("refused" in found) return yield* new NotAvailable({ feature, reason: found.refused })
      missingSince = "missing" in found ? (missingSince ?? now) : undefined
      if ("missing" in found && (now - missingSince! >= SETTLING || now >= deadline)) return yield* found.missing
      const why = "missing" in found ? found.missing.reason : found.notYet
      if (now >= deadline) {
        const reason =
          `it did not serve within ${seconds(now - began)} s (WSM_DAPR_WAIT): ${why}; start one beside this process, as with ` +
          `'dapr run --app-id websocketmanager --dapr-http-port ${endpoint.httpPort} --dapr-grpc-port ${endpoint.grpcPort} --resources-path ./dapr-components/local', ` +
          `or say where it is with DAPR_HOST and DAPR_HTTP_PORT`
        return yield* new NotAvailable({ feature, reason })
      }
      if (saidAt === undefined || now - saidAt >= SAY_EVERY) {
        saidAt = now
        yield* Effect.logInfo(`waiting for ${feature}, for another ${seconds(deadline - now)} s: ${why}`)
      }
      yield* Effect.sleep(PAUSE)
    }
  })

/** 204 alone is also said shortly before a sidecar ends whose component failed: what it has loaded is asked too. */
const look = (get: Get, endpoint: Endpoint, needs: ReadonlyArray<Metadata.Need>): Effect.Effect<Look> =>
  Effect.gen(function* () {
    const health = yield* get(OUTBOUND)
    if (health.status !== 204) return { notYet: `it answers ${health.status} ${Metadata.messageOf(health.body)}` }
    const metadata = yield* get("/v1.0/metadata")
    if (metadata.status === 401) {
      return {
        refused:
          endpoint.apiToken === undefined
            ? "it asks for a token: set DAPR_API_TOKEN to the one it was started with"
            : "it refuses the token in DAPR_API_TOKEN: set that to the one it was started with"
      }
    }
    if (metadata.status === 404) {
      return { refused: "its API allow list lacks `metadata`: allow it (Configuration, spec.api.allowed)" }
    }
    const components = metadata.status === 200 ? Metadata.componentsOf(metadata.body) : undefined
    if (components === undefined) return { notYet: `its metadata cannot be read (${metadata.status})` }
    if (!(yield* listens(endpoint.host, endpoint.grpcPort))) {
      return { notYet: `it serves, but nothing listens at its gRPC port ${endpoint.grpcPort} (DAPR_GRPC_PORT)` }
    }
    for (const need of needs) {
      const reason = Metadata.missing(need, components)
      if (reason === undefined) continue
      return { missing: new NotAvailable({ feature: `${need.setting}=${need.name}`, reason }) }
    }
    return { components }
  }).pipe(Effect.catchAll(({ message }) => Effect.succeed({ notYet: message })))

const listens = (host: string, port: number): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const socket = connect({ host, port, timeout: PATIENCE })
    const answered = (does: boolean) => () => {
      socket.destroy()
      resume(Effect.succeed(does))
    }
    socket.once("connect", answered(true)).once("error", answered(false)).once("timeout", answered(false))
    return Effect.sync(() => socket.destroy())
  })

const seconds = (millis: number): string => (millis / 1000).toFixed(millis < 1000 ? 1 : 0)
