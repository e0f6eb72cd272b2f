/** What all tests of a suite use: started before the first of them, gone after the last, and told whether one failed. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as EffectScope from "effect/Scope"
import type * as Scope from "effect/Scope"
import { afterAll, beforeAll, type RunnerTask } from "vitest"

/** The logs of servers are kept where its scope ends with a failure: one of the start, or of any test. */
export const shared = <A>(make: Effect.Effect<A, unknown, Scope.Scope>): Effect.Effect<A> => {
  const scope = Effect.runSync(EffectScope.make())
  let made: Exit.Exit<A, unknown> = Exit.fail("it has not started")
  beforeAll(async () => {
    made = await Effect.runPromiseExit(EffectScope.extend(make, scope))
    if (Exit.isFailure(made)) await Effect.runPromise(made)
  }, 60_000)
  afterAll((suite) => {
    const exit = suite.tasks.some(hasFailed) ? Exit.fail("a test failed") : made
    return Effect.runPromise(EffectScope.close(scope, exit))
  })
  return Effect.orDie(Effect.suspend(() => made))
}

const hasFailed = (task: RunnerTask): boolean =>
  task.result?.state === "fail" || (task.type === "suite" && task.tasks.some(hasFailed))
