/** A manager inside this process, on memory, with a subscriber in it that looks at every frame. */
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { answer } from "../lib/child.mjs"
import { cpu, collectedRss, several } from "../lib/measure.mjs"

const TOPIC = "bench"
const dist = pathToFileURL(`${process.argv[2]}/`)
const { ConnectionManager, ManagerLayer, MemoryPubSub, PubSub } = await import(new URL("index.js", dist).href)

let frames = 0
let missed = 0
/** frames whose sequence was not the one after the one before */
let unordered = 0
/** frames whose number, where they carry one, was not the one after the one before */
let misnumbered = 0
let peakRss = 0

/** Shut, the bus answers no publish: a consumer that stopped. */
const gate = Effect.unsafeMakeLatch(true)
const gatedPubSub = Layer.sync(PubSub.PubSub, () => {
  const bus = MemoryPubSub.make()
  return { ...bus, publish: (topic, batch) => gate.whenOpen(bus.publish(topic, batch)) }
})

const gated = process.argv[3] === "gated"
const runtime = ManagedRuntime.make(
  Layer.provideMerge(
    ManagerLayer.layer({
      settings: { dataDir: "", logLevel: "none", egress: "any", dialRatePerHost: 10_000 },
      ...(gated ? { pubSub: gatedPubSub } : {})
    }),
    Logger.minimumLogLevel(LogLevel.None)
  )
)
const manager = await runtime.runPromise(ConnectionManager.ConnectionManager)
while (!runtime.runSync(ManagerLayer.ready)) await new Promise((resolve) => setTimeout(resolve, 5))

/** @type {Map<object, number>} by origin, which all frames of a connection share: the last sequence */
const last = new Map()
let number = 0

/** What a subscriber does: looks at frame and attributes, and would see anything lost or out of turn. */
const consume = (events) => {
  let origin
  let sequence = 0
  for (let i = 0; i < events.length; i++) {
    const frame = events[i]
    if (frame.origin !== origin) {
      if (origin !== undefined) last.set(origin, sequence)
      origin = frame.origin
      sequence = last.get(origin) ?? 0
    }
    if (frame.sequence !== ++sequence) {
      unordered++
      sequence = frame.sequence
    }
    frames++
    if (gated && Number(frame.data.toString("latin1", 0, 12)) !== number++) misnumbered++
  }
  if (origin !== undefined) last.set(origin, sequence)
}

const scope = Effect.runSync(Scope.make())
const subscription = await runtime.runPromise(
  Effect.flatMap(PubSub.PubSub, (bus) => Scope.extend(bus.subscribe(TOPIC), scope))
)
runtime.runFork(
  Effect.forever(
    Effect.map(subscription.take, (taken) => {
      missed += taken.missed
      consume(taken.events)
    })
  )
)

answer({
  connect: ({ url, count }) =>
    several(count, () => runtime.runPromise(manager.connect({ url, topic: TOPIC, awaitOpen: true }))).then(() => {}),

  shut: () => {
    gate.unsafeClose()
    peakRss = process.memoryUsage().rss
    setInterval(() => {
      peakRss = Math.max(peakRss, process.memoryUsage().rss)
    }, 20)
  },
  open: () => gate.unsafeOpen(),
  peak: () => peakRss,

  /** How many connections are in which state, and why. */
  states: async () => {
    const { connections } = await runtime.runPromise(manager.list({ pageSize: 1000 }))
    /** @type {Record<string, number>} */
    const counts = {}
    for (const { epoch, lastError, status } of connections) {
      const state = `${status}, epoch ${epoch}, last error '${lastError}'`
      counts[state] = (counts[state] ?? 0) + 1
    }
    return counts
  },

  mark: () => ({ frames, cpu: cpu(), at: performance.now(), missed, unordered, misnumbered }),
  collectedRss
})
