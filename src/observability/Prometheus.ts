/** Metrics in the Prometheus text format 0.0.4: the manager's, and those of the process. */
import { type Family, Histogram, type Sample } from "./Metrics.js"
import { processFamilies } from "./ProcessMetrics.js"

/** The answer of `/metrics`: what `collect` gave, and the figures of the process. */
export const render = (families: ReadonlyArray<Family>, process: ReadonlyArray<Family> = processFamilies()): string =>
  [...families, ...process].map(family).join("")

const family = ({ help, name, samples, type }: Family): string =>
  `# HELP ${name} ${escape(help)}\n# TYPE ${name} ${type}\n${samples.map((sample) => lines(name, sample)).join("")}`

const lines = (name: string, { labels, value }: Sample): string => {
  if (!(value instanceof Histogram)) return line(name, labels, value)
  let below = 0
  const buckets = value.bounds.map((bound, i) => {
    below += value.counts[i] ?? 0
    return line(`${name}_bucket`, [...labels, ["le", number(bound)]], below)
  })
  return [
    ...buckets,
    line(`${name}_bucket`, [...labels, ["le", "+Inf"]], value.count),
    line(`${name}_sum`, labels, value.sum),
    line(`${name}_count`, labels, value.count)
  ].join("")
}

const line = (name: string, labels: Sample["labels"], value: number): string => {
  const set = labels.map(([label, text]) => `${label}="${escape(text).replaceAll('"', '\\"')}"`).join(",")
  return `${name}${set === "" ? "" : `{${set}}`} ${number(value)}\n`
}

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const number = (value: number): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : Number.isNaN(value) ? "NaN" : String(value)
