/** What a planned move does to a connection at either end. A state is never changed: each step puts another in its place. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

export type MigrationState =
  | { readonly _tag: "None" }
  /** This instance gives the connection away. */
  | {
      readonly _tag: "Source"
      /** ends when the move has come to an end, whichever */
      readonly over: Effect.Effect<void>
      /** its socket is used on until the target's is open, and is not dialled anew when it is lost */
      readonly overlap: boolean
      /** nothing is published: the target may do so from now on */
      readonly held: boolean
    }
  /** This instance has received the connection with an overlap. Frames wait until the former owner has published its last one. */
  | {
      readonly _tag: "Target"
      /** until then the former owner may have a socket too, unless it has confirmed; steady milliseconds */
      readonly confirmBy: number
      /** done when the former owner has answered, or is not waited for any more */
      readonly confirmed: Deferred.Deferred<void>
    }

type Source = Extract<MigrationState, { readonly _tag: "Source" }>

/** One for all connections at rest. */
export const NONE: MigrationState = { _tag: "None" }

export const received = (confirmBy: number): MigrationState => ({
  _tag: "Target",
  confirmBy,
  confirmed: Deferred.unsafeMake(FiberId.none)
})

/** Frames of a connection that was just received go on waiting, also while it is given on. */
export const begun = (before: MigrationState, over: Effect.Effect<void>): MigrationState => ({
  _tag: "Source",
  over,
  overlap: false,
  held: isHeld(before)
})

/** Where the frames still wait for the former owner, its answer is waited for as before. */
export const ended = (before: MigrationState): MigrationState => (isHeld(before) ? received(0) : NONE)

export const changed = (before: MigrationState, change: Partial<Pick<Source, "overlap" | "held">>): MigrationState =>
  before._tag === "Source" ? { ...before, ...change } : before

/** Nothing is held back any more. */
export const released = (before: MigrationState): MigrationState => {
  if (before._tag === "Target") Deferred.unsafeDone(before.confirmed, Effect.void)
  return before._tag === "Source" ? changed(before, { held: false }) : NONE
}

/** Whether its frames wait: another instance publishes what it read before, or may do so at any moment. */
export const isHeld = (state: MigrationState): boolean =>
  state._tag === "Target" || (state._tag === "Source" && state.held)

/** The connection is removed here: its former owner is not waited for any more. */
export const givenUp = (state: MigrationState): void => {
  if (state._tag === "Target") Deferred.unsafeDone(state.confirmed, Effect.void)
}
