/**
 * What of the machine a test needs. Where something is missing, the tests that need it are skipped, and one line of
 * `npm run test:dapr` says what to install; with `WSM_REQUIRE_ALL=1` they fail instead.
 */
import { beforeAll, describe } from "vitest"
import { daprdAvailable } from "./Daprd.js"
import { natsAvailable } from "./Nats.js"
import { postgresAvailable } from "./Postgres.js"
import { redisAvailable } from "./Redis.js"

export interface Requirement {
  readonly available: boolean
  /** what is missing, and what to do */
  readonly missing: string
}

export type Tool = "daprd" | "redis" | "postgres" | "nats"

const HOW: Readonly<Record<Tool, string>> = {
  daprd: "no sidecar can be built: install Go 1.26 or newer, or set DAPRD=/path/to/daprd",
  redis: "Redis is not installed: apt-get install redis-server",
  postgres: "PostgreSQL is not installed: apt-get install postgresql",
  nats: "NATS is not installed: apt-get install nats-server"
}

const LOOK: Readonly<Record<Tool, () => boolean>> = {
  daprd: daprdAvailable,
  redis: redisAvailable,
  postgres: postgresAvailable,
  nats: natsAvailable
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

/** `describe`, where all the tools are. */
export const requiring =
  (...tools: ReadonlyArray<Tool>) =>
  (name: string, body: () => void): void => {
    const missing = tools.map(requirement).filter(({ available }) => !available)
    if (missing.length === 0) return void describe(name, body)
    if (process.env["WSM_REQUIRE_ALL"] !== "1") return void describe.skip(name, body)
    describe(name, () => {
      beforeAll(() => {
        throw new Error(missing.map(({ missing }) => missing).join("\n"))
      })
      body()
    })
  }
