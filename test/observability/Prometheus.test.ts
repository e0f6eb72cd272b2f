import { describe, expect, it } from "vitest"
import { type Family, Histogram, make } from "../../src/observability/Metrics.js"
import { processFamilies } from "../../src/observability/ProcessMetrics.js"
import { render } from "../../src/observability/Prometheus.js"

/** Contract, section 7: name, type, labels. */
const CONTRACT: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
  ["connections", "gauge", ["status"]],
  ["frames_received_total", "counter", []],
  ["frames_published_total", "counter", []],
  ["frames_dropped_total", "counter", ["cause"]],
  ["frames_sent_total", "counter", []],
  ["buffer_frames", "gauge", []],
  ["buffer_bytes", "gauge", []],
  ["kept_bytes", "gauge", ["for"]],
  ["publish_seconds", "histogram", ["outcome"]],
  ["dials_total", "counter", ["outcome"]],
  ["reconnects_total", "counter", ["cause"]],
  ["sends_total", "counter", ["outcome"]],
  ["send_seconds", "histogram", []],
  ["gaps_total", "counter", ["cause"]],
  ["takeovers_total", "counter", ["reason"]],
  ["takeover_seconds", "histogram", []],
  ["instances", "gauge", ["status"]],
  ["lease_remaining_seconds", "gauge", []],
  ["heartbeat_seconds", "histogram", ["outcome"]],
  ["state_operations_total", "counter", ["operation", "outcome"]],
  ["rpc_seconds", "histogram", ["door", "method", "code"]],
  ["event_loop_lag_seconds", "gauge", []],
  ["events_dropped_total", "counter", []],
  ["heap_used_ratio", "gauge", []],
  ["fiber_restarts_total", "counter", ["fiber"]],
  ["refused_total", "counter", ["door", "reason"]]
]
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*)\})? (NaN|[+-]Inf|-?[0-9.e+-]+)$/ // prettier-ignore

describe("the text format", () => {
  it("of a family of each type", () => {
    const histogram = new Histogram([0.1, 0.5, 1])
    for (const seconds of [0.05, 0.1, 0.3, 7]) histogram.observe(seconds)
    const families: ReadonlyArray<Family> = [
      {
        name: "a_total",
        type: "counter",
        help: "Back\\slash\nand line.",
        samples: [{ labels: [["l", 'q"\\\n']], value: 3 }]
      },
      {
        name: "b",
        type: "gauge",
        help: "B.",
        samples: [
          { labels: [], value: Infinity },
          { labels: [], value: Number.NaN }
        ]
      },
      { name: "c_seconds", type: "histogram", help: "C.", samples: [{ labels: [["door", "grpc"]], value: histogram }] },
      { name: "d", type: "gauge", help: "Nothing yet.", samples: [] }
    ]
    expect(render(families, [])).toBe(`# HELP a_total Back\\\\slash\\nand line.
# TYPE a_total counter
a_total{l="q\\"\\\\\\n"} 3
# HELP b B.
# TYPE b gauge
b +Inf
b NaN
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{door="grpc",le="0.1"} 2
c_seconds_bucket{door="grpc",le="0.5"} 3
c_seconds_bucket{door="grpc",le="1"} 3
c_seconds_bucket{door="grpc",le="+Inf"} 4
c_seconds_sum{door="grpc"} 7.45
c_seconds_count{door="grpc"} 4
# HELP d Nothing yet.
# TYPE d gauge
`)
  })

  it("has every metric of the contract before its first use, and no other of ours", () => {
    const metrics = make()
    expect(metrics.collect().map(({ name, type }) => [name, type])).toEqual(
      CONTRACT.map(([name, type]) => [`websocketmanager_${name}`, type])
    )
    const text = render(metrics.collect())
    for (const [name, type] of CONTRACT) expect(text).toContain(`# TYPE websocketmanager_${name} ${type}\n`)
    for (const line of text.trimEnd().split("\n")) if (!line.startsWith("#")) expect(line).toMatch(LINE)
  })

  it("has the known values of closed labels at 0, and the labels of the contract once used", () => {
    const metrics = make()
    const text = render(metrics.collect(), [])
    for (const line of [
      'frames_dropped_total{cause="overflow"} 0',
      'dials_total{outcome="tls"} 0',
      'gaps_total{cause="takeover"} 0',
      'state_operations_total{operation="getMany",outcome="unavailable"} 0',
      'heartbeat_seconds_count{outcome="fenced"} 0'
    ]) {
      // prettier-ignore
      expect(text).toContain(`websocketmanager_${line}\n`)
    }
    metrics.rpcSeconds("grpc", "Connect", "OK").observe(0.02)
    metrics.connections(() => [[["connected"], 2]])
    metrics.instances(() => [[["alive"], 1]])
    for (const { name, samples } of metrics.collect()) {
      const [, , labels] = CONTRACT.find(([known]) => `websocketmanager_${known}` === name)!
      for (const sample of samples) expect(sample.labels.map(([label]) => label)).toEqual(labels)
    }
    expect(render(metrics.collect(), [])).toContain('rpc_seconds_bucket{door="grpc",method="Connect",code="OK",le="0.025"} 1\n') // prettier-ignore
  })

  it("has the standard metrics of the process", () => {
    const values = new Map(processFamilies().map(({ name, samples }) => [name, samples[0]!.value as number]))
    expect([...values.keys()]).toEqual(["process_cpu_seconds_total", "process_resident_memory_bytes", "process_heap_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"]) // prettier-ignore
    expect(values.get("process_open_fds")).toBeGreaterThan(3)
    expect(values.get("process_open_fds")).toBeLessThanOrEqual(values.get("process_max_fds")!)
    expect(values.get("process_resident_memory_bytes")).toBeGreaterThan(values.get("process_heap_bytes")! / 2)
    expect(Math.abs(values.get("process_start_time_seconds")! - (Date.now() / 1000 - process.uptime()))).toBeLessThan(5)
  })
})
