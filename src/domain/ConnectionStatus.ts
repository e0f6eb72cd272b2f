/** What a connection is doing: the closed union of the contract, and the one function that changes it. */
import * as Schema from "effect/Schema"

export const ConnectionStatus = Schema.Literal(
  "CONNECTION_STATUS_CONNECTING",
  "CONNECTION_STATUS_CONNECTED",
  "CONNECTION_STATUS_RECONNECTING",
  "CONNECTION_STATUS_DISCONNECTED",
  "CONNECTION_STATUS_FAILED"
)
export type ConnectionStatus = typeof ConnectionStatus.Type

export const CONNECTING = "CONNECTION_STATUS_CONNECTING" as const
export const CONNECTED = "CONNECTION_STATUS_CONNECTED" as const
export const RECONNECTING = "CONNECTION_STATUS_RECONNECTING" as const
export const DISCONNECTED = "CONNECTION_STATUS_DISCONNECTED" as const
export const FAILED = "CONNECTION_STATUS_FAILED" as const

/** `connected` without its prefix and in lower case: for people, metric labels and log lines. */
export const shortStatus = (status: ConnectionStatus): string => status.slice("CONNECTION_STATUS_".length).toLowerCase()

/** What can happen to a connection. `restart` is a dial on request (Reconnect) or by a new owner. */
export type StatusChange = "opened" | "lost" | "closed" | "gave-up" | "restart"

/**
 * The pure transition. Until the first open a lost dial leaves the connection CONNECTING; `everOpen` says whether
 * it was open under this owner. DISCONNECTED and FAILED are left only by `restart`.
 */
export const transition = (status: ConnectionStatus, change: StatusChange, everOpen: boolean): ConnectionStatus => {
  if (status === DISCONNECTED || status === FAILED) {
    return change === "restart" ? (everOpen ? RECONNECTING : CONNECTING) : status
  }
  switch (change) {
    case "opened":
      return CONNECTED
    case "lost":
    case "restart":
      return everOpen ? RECONNECTING : CONNECTING
    case "closed":
      return DISCONNECTED
    case "gave-up":
      return FAILED
  }
}

/** Whether a connection in this status should be up: it is dialled again after a restart and after a takeover. */
export const shouldBeUp = (status: ConnectionStatus): boolean => status !== DISCONNECTED && status !== FAILED
