/**
 * The right to act, as one comparison of two numbers.
 *
 * The hot path asks `valid()` before each batch, dial and write; the Heartbeat renews it, and peers extend it
 * (PeerRenewal). Elapsed time is the larger of what the monotonic and the wall clock say (src/ownership/README.md,
 * Renewing). That is because the monotonic clock of a suspended machine may stand still.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** One incarnation of this instance: minted for every joining, ended by a fence or by leaving. */
export interface Incarnation {
  /** UUIDv7 */
  readonly incarnation: string
  /** Whether this incarnation may act now. A comparison, nothing else. */
  readonly valid: () => boolean
  /** Milliseconds until the lease runs out; negative when it has. */
  readonly remaining: () => number
  /** False once this incarnation was fenced or has left: it will never act again. */
  readonly ended: () => boolean
  /** Waits until `ended()`. */
  readonly awaitEnd: Effect.Effect<void>
  /**
   * Whether the last beat went out, and the store did not answer or said that it is away. False from the first beat that
   * lands, once the store has answered in any way, and after a freeze until an attempt has failed since.
   */
  readonly storeAway: () => boolean
}

/** What happened to the lease. `lost`: ran out, sockets must be closed; `held`: valid again; `ended`: fenced or left. */
export type LeaseChange = "held" | "lost" | "ended"

/** The right to act under this instance's id. It ends by the clock, whatever the store says. */
export class Lease extends Context.Tag("websocketmanager/membership/Lease")<
  Lease,
  {
    /** The present incarnation; a new one after a fence. Work keeps the incarnation that began it. */
    readonly life: () => Incarnation
    /** Shorthand for `life().valid()`. */
    readonly valid: () => boolean
    /** Waits until this instance has joined and its lease is valid. */
    readonly awaitHeld: Effect.Effect<Incarnation>
    /** Calls back, synchronously, on each change, until the returned function is called. */
    readonly onChange: (listener: (change: LeaseChange, life: Incarnation) => void) => () => void
  }
>() {}
