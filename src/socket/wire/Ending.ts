/** How a socket ends, as this side brought it about. */
import type { Defect } from "../../common/CallbackGuard.js"
import type { SessionEnd } from "./Session.js"

export interface Ending {
  readonly code: number
  readonly reason: string
  readonly cause: Exclude<SessionEnd["cause"], "dead" | "idle">
  readonly defect?: Defect
}

/** An end that this side made: whatever the peer says to it, this is what it was. */
export const isForced = (ending: Ending | undefined): boolean =>
  ending !== undefined && ending.cause !== "closed" && ending.cause !== "protocol"
