/**
 * Every metric of the contract (section 7), its labels and its help text, in one file.
 *
 * A metric is a plain number that belongs to one manager (no module-level registry: two managers in one process do not
 * mix). `add` and `observe` are additions, cheap enough for the hot path; labels are few and closed, never an id, URL or
 * topic. Gauges are read at each scrape.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { DialFailureKind } from "../domain/Errors.js"

/** A number that only grows. */
export class Counter {
  /** since the start of the manager */
  value = 0
  /** One addition. */
  add(n: number): void {
    this.value += n
  }
}

/** How many observations lie at or under each bound. */
export class Histogram {
  /** of each bound by itself, not summed; what lies over the last one is in `count` alone */
  readonly counts: Array<number>
  /** of all observations */
  sum = 0
  /** of all observations */
  count = 0
  constructor(readonly bounds: ReadonlyArray<number>) {
    this.counts = Array.from({ length: bounds.length }, () => 0)
  }
  /** One observation, in the metric's unit (seconds). */
  observe(value: number): void {
    this.sum += value
    this.count += 1
    for (let i = 0; i < this.bounds.length; i++) {
      if (value <= this.bounds[i]!) {
        this.counts[i]! += 1
        return
      }
    }
  }
}

/** As in `# TYPE`. */
export type MetricType = "counter" | "gauge" | "histogram"

/** One line of a family: its labels in the family's order, and its value. */
export interface Sample {
  /** in the order of the family */
  readonly labels: ReadonlyArray<readonly [name: string, value: string]>
  /** a number, or the whole histogram */
  readonly value: number | Histogram
}
/** One metric with all its lines. */
export interface Family {
  /** with the prefix `websocketmanager_` */
  readonly name: string
  /** counter, gauge or histogram */
  readonly type: MetricType
  /** one sentence */
  readonly help: string
  /** one for each combination of labels in use */
  readonly samples: ReadonlyArray<Sample>
}

/** A label, and the values it is known to take: with all of them known, every line is there before its first use. */
type Label = readonly [name: string, ...values: ReadonlyArray<string>]

const combinations = (labels: ReadonlyArray<Label>): ReadonlyArray<ReadonlyArray<string>> =>
  labels.reduce<ReadonlyArray<ReadonlyArray<string>>>(
    (rows, [, ...values]) => rows.flatMap((row) => values.map((value) => [...row, value])),
    [[]]
  )

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const PREFIX = "websocketmanager_"

/** The metrics of this manager. */
export class Metrics extends Context.Tag("websocketmanager/observability/Metrics")<Metrics, MetricsShape>() {
  /** All at zero. */
  static readonly layer = Layer.sync(Metrics, () => make())
}

/** Every metric, under a name of its own. */
export type MetricsShape = ReturnType<typeof make>

/** The metrics of one manager, all at zero. */
export const make = () => {
  const families: Array<{ name: string; type: MetricType; help: string; samples: () => Array<Sample> }> = []

  const vector = <M extends Counter | Histogram>(
    type: MetricType,
    name: string,
    help: string,
    labels: ReadonlyArray<Label>,
    create: () => M
  ) => {
    const members = new Map<string, { readonly values: ReadonlyArray<string>; readonly metric: M }>()
    families.push({
      name: PREFIX + name,
      type,
      help,
      samples: () =>
        [...members.values()].map(({ metric, values }) => ({
          labels: labels.map(([label], i) => [label, values[i] ?? ""] as const),
          value: metric instanceof Counter ? metric.value : (metric as Histogram)
        }))
    })
    /** The member with these label values, made on first use. Keep it where it is used often. */
    const member = (...values: ReadonlyArray<string>): M => {
      const key = values.join("\u0000")
      let known = members.get(key)
      if (known === undefined) members.set(key, (known = { values, metric: create() }))
      return known.metric
    }
    for (const values of combinations(labels)) member(...values)
    return member
  }
  const counters = (name: string, help: string, ...labels: ReadonlyArray<Label>) =>
    vector("counter", name, help, labels, () => new Counter())
  const seconds = (name: string, help: string, ...labels: ReadonlyArray<Label>) =>
    vector("histogram", name, help, labels, () => new Histogram(SECONDS))
  const gauge = (name: string, help: string, ...labels: ReadonlyArray<string>) => {
    const sources: Array<() => ReadonlyArray<readonly [values: ReadonlyArray<string>, value: number]>> = []
    families.push({
      name: PREFIX + name,
      type: "gauge",
      help,
      samples: () =>
        sources
          .flatMap((source) => source())
          .map(([values, value]) => ({ labels: labels.map((l, i) => [l, values[i] ?? ""] as const), value }))
    })
    /** Says where the value comes from, or some of the lines; asked on each look. */
    return (source: () => ReadonlyArray<readonly [values: ReadonlyArray<string>, value: number]>): void => {
      sources.push(source)
    }
  }

  return {
    connections: gauge("connections", "Connections this instance owns, by status.", "status"),
    framesReceived: counters("frames_received_total", "Frames that took a sequence.")(),
    framesPublished: counters("frames_published_total", "Frames the broker acknowledged.")(),
    framesDropped: counters("frames_dropped_total", "Frames not published, by cause.", [
      "cause",
      "overflow",
      "publish",
      "lease"
    ]),
    framesSent: counters("frames_sent_total", "Frames the sockets took.")(),
    bufferFrames: gauge("buffer_frames", "Frames waiting to be published."),
    bufferBytes: gauge("buffer_bytes", "Bytes of frames waiting to be published."),
    keptBytes: gauge(
      "kept_bytes",
      "Bytes kept for others, by what for: send is messages to peers that have not left, receive messages of peers that are not yet whole, requests those of callers that have not been answered, answers those that callers have not read.",
      "for"
    ),
    publishSeconds: seconds("publish_seconds", "Duration of one publish request.", [
      "outcome",
      "ok",
      "partial",
      "failed"
    ]),
    /** outcome: ok, a kind of DialFailed, or forbidden */
    dials: counters("dials_total", "Dials, by outcome.", ["outcome", "ok", ...DialFailureKind.literals, "forbidden"]),
    reconnects: counters("reconnects_total", "Lost sockets and failed dials that will be dialled again.", [
      "cause",
      "closed",
      "dial",
      "dead",
      "idle"
    ]),
    sends: counters("sends_total", "Send and SendRaw calls, by outcome.", [
      "outcome",
      "ok",
      "timeout",
      "aborted",
      "refused"
    ]),
    sendSeconds: seconds("send_seconds", "Time from Send to its reply.")(),
    gaps: counters("gaps_total", "Gap events, by cause.", ["cause", "reconnect", "takeover", "overflow", "publish"]),
    takeovers: counters("takeovers_total", "Connections taken over, by reason.", ["reason", "dead", "left", "restart"]),
    takeoverSeconds: seconds("takeover_seconds", "Time from claiming a connection to its open socket.")(),
    instances: gauge("instances", "Instances as this one sees them, by status.", "status"),
    leaseRemaining: gauge("lease_remaining_seconds", "Time left on this instance's lease."),
    heartbeatSeconds: seconds("heartbeat_seconds", "Duration of one heartbeat write.", [
      "outcome",
      "ok",
      "failed",
      "fenced"
    ]),
    stateOperations: counters(
      "state_operations_total",
      "State store operations.",
      ["operation", "get", "getMany", "create", "replace", "remove"],
      ["outcome", "ok", "mismatch", "unavailable"]
    ),
    /** door: rpc-ws | rpc-http | grpc, or peer for a call that another instance passed on; code: OK or an error tag */
    rpcSeconds: seconds(
      "rpc_seconds",
      "Duration of a call, by door, method and outcome.",
      ["door"],
      ["method"],
      ["code"]
    ),
    eventLoopLag: gauge("event_loop_lag_seconds", "Longest event-loop delay of the last ten seconds."),
    eventsDropped: counters("events_dropped_total", "Lifecycle events dropped while the broker was away.")(),
    heapUsed: gauge("heap_used_ratio", "Used part of V8's heap limit, garbage included."),
    fiberRestarts: counters(
      "fiber_restarts_total",
      "Fibers this instance lives by that ended by a fault and were begun again.",
      ["fiber"]
    ),
    /** door: http | grpc; reason: a short word, never what was sent */
    refused: counters(
      "refused_total",
      "Requests and sockets refused before a call was made of them.",
      ["door"],
      ["reason"]
    ),
    /** All families as they are now, in the order of the contract. */
    collect: (): ReadonlyArray<Family> =>
      families.map((f) => ({ name: f.name, type: f.type, help: f.help, samples: f.samples() }))
  }
}
