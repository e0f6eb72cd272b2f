/** What of the machine the tests of the `dapr` project need, whether it is there, and what to install where it is not. */
import { daprdAvailable } from "./Daprd.js"
import { memcachedAvailable } from "./Memcached.js"
import { natsAvailable } from "./Nats.js"
import { postgresAvailable } from "./Postgres.js"
import { redisAvailable } from "./Redis.js"

export interface Requirement {
  readonly available: boolean
  /** what is missing, and what to do */
  readonly missing: string
}

export type Tool = "daprd" | "redis" | "postgres" | "nats" | "memcached"

const HOW: Readonly<Record<Tool, string>> = {
  daprd: "no sidecar can be built: install Go 1.26 or newer, or set DAPRD=/path/to/daprd",
  redis: "Redis is not installed: apt-get install redis-server",
  postgres: "PostgreSQL is not installed: apt-get install postgresql",
  nats: "NATS is not installed: apt-get install nats-server",
  memcached: "memcached is not installed: apt-get install memcached"
}

const LOOK: Readonly<Record<Tool, () => boolean>> = {
  daprd: daprdAvailable,
  redis: redisAvailable,
  postgres: postgresAvailable,
  nats: natsAvailable,
  memcached: memcachedAvailable
}

const known = new Map<Tool, boolean>()

export const requirement = (tool: Tool): Requirement => {
  const available = known.get(tool) ?? LOOK[tool]()
  known.set(tool, available)
  return { available, missing: HOW[tool] }
}

/** A line for each tool that is not here. */
export const missingTools = (): ReadonlyArray<string> =>
  (Object.keys(HOW) as ReadonlyArray<Tool>)
    .map(requirement)
    .flatMap(({ available, missing }) => (available ? [] : [missing]))
