/**
 * Requests that were refused before they became a call. They are counted by door and reason, and logged with the sender's
 * address, at most one line a second. What was sent, a wrong token above all, is in neither.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"

export type RefusingDoor = "http" | "grpc"

const QUIET_MS = 1000

export class Refusals extends Context.Tag("websocketmanager/api/rpc/Refusals")<
  Refusals,
  {
    readonly refused: (door: RefusingDoor, reason: string, address: string | undefined) => void
    /** Where the numbers go from now on, with those that came before. */
    readonly countBy: (counter: (door: string, reason: string) => { readonly add: (n: number) => void }) => void
  }
>() {}

export const make: Effect.Effect<Refusals["Type"]> = Effect.map(Effect.runtime<never>(), (runtime) => {
  const run = Runtime.runFork(runtime)
  const early: Array<readonly [door: string, reason: string]> = []
  let add = (door: string, reason: string): void => {
    if (early.length < 1000) early.push([door, reason])
  }
  let told = -Infinity
  let untold = 0
  return {
    refused: (door, reason, address) => {
      add(door, reason)
      const now = performance.now()
      if (now - told < QUIET_MS) {
        untold += 1
        return
      }
      const more = untold === 0 ? "" : `, and ${untold} more since the last such line`
      told = now
      untold = 0
      run(Effect.logWarning(`refused at the ${door} door: ${reason}, from ${address ?? "an unknown address"}${more}`))
    },
    countBy: (counter) => {
      add = (door, reason) => counter(door, reason).add(1)
      for (const [door, reason] of early.splice(0)) add(door, reason)
    }
  }
})

export const layer: Layer.Layer<Refusals> = Layer.effect(Refusals, make)
