/**
 * What may go out for a connection now: comparisons of the lease, made right before each act.
 *
 * With `stop` everything ends with the lease. With `continue` an open socket is held and read on. Its frames go on with the
 * old epoch as long as the store does not answer; nothing is dialled and no message is sent without the lease, and nothing
 * at all once this incarnation was fenced.
 */
import type { ManagedConnection } from "./ManagedConnection.js"

export type LeaseLossRule = "stop" | "continue"

/** The rule of a connection; `fallback` is WSM_ON_LEASE_LOSS. */
export const leaseLossRule = (c: ManagedConnection, fallback: LeaseLossRule): LeaseLossRule =>
  c.spec.onLeaseLoss ?? fallback

/** Whether its open socket may be kept and kept alive. */
export const mayHold = (c: ManagedConnection, fallback: LeaseLossRule): (() => boolean) => {
  const { life } = c.owned
  return leaseLossRule(c, fallback) === "continue" ? () => !life.ended() : life.valid
}

/** Whether its frames may be published. */
export const mayPublish = (c: ManagedConnection, fallback: LeaseLossRule): (() => boolean) => {
  const { life } = c.owned
  if (leaseLossRule(c, fallback) === "stop") return life.valid
  return () => life.valid() || (!life.ended() && life.storeAway())
}
