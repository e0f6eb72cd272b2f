/**
 * What a program that embeds the manager wants done when it gives everything away: after the instance went offline, before
 * the first connection moves.
 *
 * ```ts
 * const hooks = yield* DrainHooks
 * yield* hooks.register("stop the importer", importer.stop)
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Something that is done at drain. */
export interface DrainHook {
  /** for the log */
  readonly name: string
  /** done once for each drain; its failure is logged and changes nothing */
  readonly run: Effect.Effect<unknown, unknown>
}

/** The hooks of this instance. */
export class DrainHooks extends Context.Tag("websocketmanager/manager/DrainHooks")<
  DrainHooks,
  {
    /**
     * Runs at drain, after those that were registered before, all together within half of the drain's deadline: the
     * rest is for moving connections. One that fails or takes too long is logged, and the next one runs. The answer takes it
     * out again.
     */
    readonly register: <R>(
      name: string,
      hook: Effect.Effect<unknown, unknown, R>
    ) => Effect.Effect<Effect.Effect<void>, never, R>
    /** In the order of registration. */
    readonly all: () => ReadonlyArray<DrainHook>
  }
>() {
  /** No hooks yet. */
  static readonly layer = Layer.sync(DrainHooks, () => {
    const hooks = new Set<DrainHook>()
    return DrainHooks.of({
      register: <R>(name: string, hook: Effect.Effect<unknown, unknown, R>) =>
        Effect.contextWith((context: Context.Context<R>) => {
          const entry: DrainHook = { name, run: Effect.provide(hook, context) }
          hooks.add(entry)
          return Effect.sync(() => void hooks.delete(entry))
        }),
      all: () => [...hooks]
    })
  })
}
