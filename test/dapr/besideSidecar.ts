/** Instances as real processes, or in this process, beside a real sidecar. */
import { randomUUID } from "node:crypto"
import * as Effect from "effect/Effect"
import * as C from "../support/Components.js"
import type { Sidecar } from "../support/Sidecar.js"

/** What makes an instance use this sidecar. */
export const beside = (
  { grpcPort, httpPort }: Pick<Sidecar, "grpcPort" | "httpPort">,
  more: Readonly<Record<string, string>> = {}
): Readonly<Record<string, string>> => ({
  WSM_BACKING: "dapr",
  WSM_STATE_STORE: C.STATE,
  WSM_PUBSUB: C.PUBSUB,
  WSM_SECRET_STORE: C.SECRETS,
  WSM_INSTANCE_ID: `i-${randomUUID().slice(0, 8)}`,
  DAPR_HTTP_PORT: String(httpPort),
  DAPR_GRPC_PORT: String(grpcPort),
  ...more
})

/** In-memory store and bus, in this one sidecar. */
export const IN_MEMORY = [C.stateInMemory(), C.pubsubInMemory()]

/** Something with a promise to be gone with the scope. */
export const scoped = <A>(start: () => Promise<A>, stop: (a: A) => unknown) =>
  Effect.acquireRelease(Effect.promise(start), (a) => Effect.promise(async () => void (await stop(a))))

export interface Health {
  readonly status: string
  readonly phase: string
  readonly dependencies: ReadonlyArray<{ readonly name: string; readonly status: string; readonly detail: string }>
}

/** `/health` of an instance; of each dependency its status. */
export const healthOf = async (url: string): Promise<Health & { readonly by: Readonly<Record<string, string>> }> => {
  const health = (await (await fetch(`${url}/health`)).json()) as Health
  return { ...health, by: Object.fromEntries(health.dependencies.map(({ name, status }) => [name, status])) }
}

/** The status of `/health/ready`. */
export const readiness = async (url: string): Promise<number> => (await fetch(`${url}/health/ready`)).status
