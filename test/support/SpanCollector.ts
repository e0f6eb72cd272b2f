/** A tracer that keeps every span, to be looked at by a test. */
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

export interface Collected {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | undefined
  readonly attributes: ReadonlyMap<string, unknown>
}

const hex = (digits: number): string =>
  Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join("")

export class SpanCollector {
  readonly spans: Array<Collected> = []

  /** Those of one trace; with the ones that are still open. */
  ofTrace(traceId: string): ReadonlyArray<Collected> {
    return this.spans.filter((span) => span.traceId === traceId)
  }

  /** Whether this span lies within one of that name. */
  isWithin(span: Collected, name: string): boolean {
    for (let at: Collected | undefined = span; at !== undefined; at = this.parentOf(at))
      if (at.name === name) return true
    return false
  }

  private parentOf({ parentId }: Collected): Collected | undefined {
    return this.spans.find(({ spanId }) => spanId === parentId)
  }

  readonly layer: Layer.Layer<never> = Layer.setTracer(
    Tracer.make({
      context: (run) => run(),
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: hex(16),
          traceId: Option.match(parent, { onNone: () => hex(32), onSome: ({ traceId }) => traceId }),
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes,
          links,
          sampled: true,
          kind,
          end: () => {},
          attribute: (key, value) => void attributes.set(key, value),
          event: () => {},
          addLinks: () => {}
        }
        const parentId = Option.getOrUndefined(parent)?.spanId
        this.spans.push({ name, traceId: span.traceId, spanId: span.spanId, parentId, attributes })
        return span
      }
    })
  )
}
