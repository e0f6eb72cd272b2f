/**
 * Which record kills the instance that runs it; pure.
 *
 * The owner of a record notes in it that it tries the connection. It takes the note out once nothing has come of the trial
 * for a while. Two incarnations may end without `left` while they try a connection, the second one while it tries this one
 * alone. Then the next claim puts it into quarantine: FAILED, until Reconnect.
 *
 * What it costs: nothing on the normal path, since creates, claims and the status behind them are written anyway. After one
 * such end the connections that were being tried are suspects. They are dialled one by one, once all others have been up
 * for a while: that tells the poison from its neighbours. Where they are more than a few, they are dialled together once
 * more; after a second end, a quarter of them at a time. In that case a poison costs an instance or two more. A connection
 * that was seconds old when its instance was killed is down for seconds longer; an instance that is killed while it tries
 * one alone costs that one.
 */
import { shouldBeUp } from "../ConnectionStatus.js"
import type { ConnectionRecord, Trial } from "./ConnectionRecord.js"

export const QUARANTINED = "quarantined"
/** so many ends, the last one alone */
const DEATHS = 2
/** Up to so many suspects are tried one by one. */
const ONE_BY_ONE = 8

/** What a claim makes of the trial in a record. `died`: the owner has ended without `left`. */
export const onClaim = (
  { incarnation: owner, status, trial }: Pick<ConnectionRecord, "incarnation" | "status" | "trial">,
  { died, incarnation }: { readonly died: boolean; readonly incarnation: string }
): { readonly trial: Trial | undefined; readonly quarantined: boolean } => {
  const before = trial?.deaths ?? 0
  if (!shouldBeUp(status)) return { trial: before === 0 ? undefined : { deaths: before }, quarantined: false }
  const under = died && trial?.by !== undefined && trial.by === owner && owner !== incarnation
  const deaths = before + (under ? 1 : 0)
  if (under && trial.alone === true && deaths >= DEATHS) return { trial: { deaths }, quarantined: true }
  const waits = deaths > 0 && died
  return { trial: waits ? { deaths } : { by: incarnation, deaths }, quarantined: false }
}

/** Of the suspects that wait, those that are tried next; the likeliest ones come last, and alone. */
export const nextGroup = <A extends { readonly deaths: number }>(waiting: ReadonlyArray<A>): ReadonlyArray<A> => {
  const lightly = waiting.filter(({ deaths }) => deaths < DEATHS)
  // many records on trial at one end: most likely the process was killed from outside. None waits, and none is quarantined.
  if (lightly.length > 0) return lightly.length <= ONE_BY_ONE ? lightly.slice(0, 1) : lightly
  return waiting.slice(0, waiting.length <= ONE_BY_ONE ? 1 : Math.ceil(waiting.length / 4))
}

/** A caller that knows of the quarantine asks for it again: after one more end it is in quarantine again. */
export const onReconnect = (incarnation: string): Trial => ({ by: incarnation, deaths: DEATHS - 1, alone: true })
