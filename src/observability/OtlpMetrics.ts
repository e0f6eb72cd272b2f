/**
 * The manager's metrics as an OTLP export request, in the JSON form that the serializers of `@effect/opentelemetry` take.
 */
import { type Family, Histogram, type Sample } from "./Metrics.js"

const CUMULATIVE = 2
/** A name says its unit last: `_seconds`, `_bytes`, before a `_total`. */
const UNITS: ReadonlyArray<readonly [RegExp, string]> = [
  [/_seconds(?:_total)?$/, "s"],
  [/_bytes(?:_total)?$/, "By"]
]

export interface Period {
  /** nanoseconds since 1970, as text */
  readonly start: string
  readonly now: string
}

export const exportRequest = (families: ReadonlyArray<Family>, resource: unknown, scope: string, period: Period) => ({
  resourceMetrics: [
    {
      resource,
      scopeMetrics: [
        {
          scope: { name: scope },
          metrics: families.filter(({ samples }) => samples.length > 0).map((family) => metric(family, period))
        }
      ]
    }
  ]
})

const metric = ({ help, name, samples, type }: Family, period: Period) => {
  const dataPoints = samples.map((sample) => dataPoint(sample, period))
  const unit = UNITS.find(([pattern]) => pattern.test(name))?.[1] ?? "1"
  const common = { name, description: help, unit }
  if (type === "gauge") return { ...common, gauge: { dataPoints } }
  if (type === "histogram") return { ...common, histogram: { aggregationTemporality: CUMULATIVE, dataPoints } }
  return { ...common, sum: { aggregationTemporality: CUMULATIVE, isMonotonic: true, dataPoints } }
}

const dataPoint = ({ labels, value }: Sample, { now, start }: Period) => {
  const common = {
    attributes: labels.map(([key, text]) => ({ key, value: { stringValue: text } })),
    startTimeUnixNano: start,
    timeUnixNano: now
  }
  if (!(value instanceof Histogram)) return { ...common, asDouble: value }
  const counted = value.counts.reduce((sum, count) => sum + count, 0)
  return {
    ...common,
    count: value.count,
    sum: value.sum,
    bucketCounts: [...value.counts, value.count - counted],
    explicitBounds: [...value.bounds]
  }
}
