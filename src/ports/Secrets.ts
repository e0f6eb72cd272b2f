/**
 * Where `${secret:NAME}` and `secret:NAME` get their values: asked at each dial, so that a rotated secret is used at the
 * next one. A value never reaches a log, an event, a list or the store.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"

/** Represents a secret that is not configured, or could not be read. `name` names it. */
export class SecretMissing extends Data.TaggedError("SecretMissing")<{
  readonly name: string
  readonly reason: string
}> {}

/** Where the value of `secret:NAME` comes from. */
export class Secrets extends Context.Tag("websocketmanager/ports/Secrets")<
  Secrets,
  {
    /** The value of a secret, without a trailing line break. */
    readonly resolve: (name: string) => Effect.Effect<Redacted.Redacted<string>, SecretMissing>
  }
>() {}
