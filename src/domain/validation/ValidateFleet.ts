/** The requests that move connections between instances, from loose to checked. */
import * as Either from "effect/Either"
import type { DrainRequest, MigrateRequest, RebalanceRequest } from "../Messages.js"
import { type Checked, enumeration, text, uint32 } from "./Check.js"
import { checkId, checkTimeout } from "./ValidateRequests.js"

export interface CheckedMigrate {
  readonly id: string
  /** undefined: the manager chooses */
  readonly target: string | undefined
}

export const checkMigrate = (request: MigrateRequest): Checked<CheckedMigrate> =>
  Either.gen(function* () {
    const id = yield* checkId(request.id)
    const target = yield* text("targetInstanceId", request.targetInstanceId ?? "", 128)
    return { id, target: target === "" ? undefined : target }
  })

export interface CheckedDrain {
  readonly mode: "migrate" | "wait"
  readonly timeoutMs: number
}

const MODES = {
  DRAIN_MODE_UNSPECIFIED: "migrate",
  DRAIN_MODE_MIGRATE_CONNECTIONS: "migrate",
  DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE: "wait"
} as const

export const checkDrain = (request: DrainRequest): Checked<CheckedDrain> =>
  Either.gen(function* () {
    return {
      mode: yield* enumeration<CheckedDrain["mode"]>("mode", request.mode, MODES, "migrate"),
      timeoutMs: yield* checkTimeout(request.timeoutMs, 30_000)
    }
  })

export interface CheckedRebalance {
  /** Infinity: no limit */
  readonly maxMoves: number
  readonly dryRun: boolean
}

export const checkRebalance = (request: RebalanceRequest): Checked<CheckedRebalance> =>
  Either.map(uint32("maxMoves", request.maxMoves, Infinity), (maxMoves) => ({
    maxMoves,
    dryRun: request.dryRun ?? false
  }))
