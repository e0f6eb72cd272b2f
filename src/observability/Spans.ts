/** Traces: a span for each call at a door, and within it one for each thing that the call costs. */
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import * as Headers from "@effect/platform/Headers"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** The caller's span of a W3C `traceparent` header; undefined where it sent none that can be read. */
export const callersSpan = (traceparent: string | undefined): Tracer.ExternalSpan | undefined =>
  traceparent === undefined
    ? undefined
    : Option.getOrUndefined(HttpTraceContext.w3c(Headers.fromInput({ traceparent })))

/** A call at a door, within the span of its caller where that is known. */
export const doorSpan = (name: string, parent: Tracer.AnySpan | undefined) =>
  Effect.withSpan(name, { kind: "server", captureStackTrace: false, ...(parent !== undefined && { parent }) })

/**
 * What is done for a call, as a part of its trace. A span is made only within a call: what an instance does by itself makes
 * no traces.
 */
export const partOfCall =
  (name: string, attributes?: Readonly<Record<string, unknown>>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.serviceOption(Tracer.ParentSpan), (parent) =>
      Option.isNone(parent)
        ? effect
        : Effect.withSpan(effect, name, { kind: "client", captureStackTrace: false, ...(attributes && { attributes }) })
    ) as Effect.Effect<A, E, R>
