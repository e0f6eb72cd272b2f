/** Figures 6 to 8: frames from a socket to a topic of Redis through a sidecar, against a loop that makes the same publishes. */
import { fixed, median, sleep, standstill } from "../lib/stats.mjs"
import { judgeOf } from "../lib/stream.mjs"

const WAYS = ["bare", "managed"]
/** for the compiler */
const WARM_ROUNDS = 3

/**
 * @param {import("../main.mjs").Bench} bench
 * @param {{ figure: number, name: string, way: "single" | "bulk" | "packed", sockets: number, frames: number }} options
 * `frames` of one round
 * @param {(rate: number) => { fault: boolean, note: string }} [also] what else is asked of the rate
 */
export const publish = async (bench, options, also) => {
  const { name, sockets, way } = options
  const packed = way === "packed"
  const count = Math.ceil((options.frames * bench.roundMs) / 1500 / sockets) * sockets
  const dapr = await bench.dapr()
  const workers = {
    bare: await bench.worker("bareDapr", [JSON.stringify(dapr.address)]),
    managed: await bench.worker("managedDapr", [JSON.stringify(dapr.address)])
  }
  const faults = []
  const topic = (who) => `bench-${way}-${who}`
  const judges = {}
  for (const who of WAYS) {
    await workers[who].call("connect", { url: bench.url(topic(who)), count: sockets, topic: topic(who), way })
    judges[who] = judgeOf(dapr, topic(who))
  }

  /** So many frames, from the first one written to the last one in the stream. */
  const round = async (who) => {
    const worker = workers[who]
    const before = { ...(await worker.call("mark")), ...dapr.cpu() }
    const began = performance.now()
    await bench.peer.call("send", { group: topic(who), frames: count })
    await judges[who].arrived(count, packed)
    const millis = performance.now() - began
    const after = { ...(await worker.call("mark")), ...dapr.cpu() }
    const seen = await judges[who].look()
    if (seen.frames !== count || seen.unordered > 0) faults.push({ way: who, sent: count, ...seen })
    const each = (what) => (after[what] - before[what]) / count
    return { rate: (count / millis) * 1000, own: each("cpu"), sidecar: each("sidecar"), redis: each("redis") }
  }

  const got = { bare: [], managed: [] }
  for (let i = 1 - WARM_ROUNDS; i <= bench.rounds; i++) {
    // Who goes second finds the machine as the first one left it.
    const order = i % 2 === 0 ? WAYS : WAYS.toReversed()
    const pair = {}
    for (const who of order) pair[who] = await round(who)
    if (i < 1) continue
    for (const who of WAYS) got[who].push(pair[who])
    bench.say(
      `${name}, round ${i}: ${(pair.managed.rate / pair.bare.rate).toFixed(2)} of ${Math.round(pair.bare.rate)} frames/s,` +
        ` CPU ${(pair.managed.own / pair.bare.own).toFixed(2)} x ${pair.bare.own.toFixed(1)} us`
    )
  }
  for (const worker of Object.values(workers)) await worker.stop()
  await dapr.stop()

  const of = (who, what) => median(got[who].map((one) => one[what]))
  const more = also?.(of("managed", "rate"))
  const cost = (what) => `${fixed(of("managed", what), 1)} (bare ${fixed(of("bare", what), 1)})`
  return {
    figure: options.figure,
    name,
    unit: "frames/s",
    bare: Math.round(of("bare", "rate")),
    managed: Math.round(of("managed", "rate")),
    value: fixed(median(got.managed.map(({ rate }, i) => rate / got.bare[i].rate))),
    what: "of bare",
    bound: { atLeast: 0.9 },
    timed: true,
    exact: faults.length === 0,
    holds: more?.fault !== true,
    notes: [
      `us CPU a frame: own ${cost("own")}, sidecar ${cost("sidecar")}, redis ${cost("redis")};`,
      ...(more === undefined ? [] : [more.note]),
      faults.length === 0 ? "all there, in order" : `NOT EXACT: ${JSON.stringify(faults)}`
    ]
  }
}

/**
 * Packed, and held against what bare `ws` receives without publishing anything: a tenth of it.
 *
 * @param {import("../main.mjs").Bench} bench
 */
export const publishPacked = async (bench) => {
  const received = await bareReceive(bench)
  const options = { figure: 8, name: "Dapr, 1 connection, packed", way: "packed", sockets: 1, frames: 100_000 }
  return publish(bench, options, (rate) => ({
    fault: rate < received * PART * (1 - bench.slack),
    note: `${fixed(rate / received, 3)} of what bare ws receives (${Math.round(received)}), at least ${PART};`
  }))
}
const PART = 0.1

/** What `ws` alone receives on one connection, frames a second. */
const bareReceive = async (bench) => {
  const worker = await bench.worker("bare")
  const group = "flood-dapr"
  await worker.call("connect", { url: bench.url(group), count: 1 })
  const rates = []
  for (let i = 0; i <= bench.rounds; i++) {
    await bench.peer.call("flood", { group })
    await sleep(200)
    const before = await worker.call("mark")
    await sleep(500)
    const after = await worker.call("mark")
    await bench.peer.call("stop", { group })
    await standstill(async () => (await worker.call("mark")).frames)
    if (i > 0) rates.push(((after.frames - before.frames) / (after.at - before.at)) * 1000)
  }
  await worker.stop()
  return median(rates)
}
