/** Figure 5: the bus stops taking events while the peer floods: memory, the peer's progress, and what arrives afterwards. */
import { fixed, sleep, standstill } from "../lib/stats.mjs"

const MOST_MB = 64
/** Frames a connection may hold by default; the counterpart, too, pauses there. */
const HELD = 10_000

const MB = 1024 * 1024

/** @param {import("../main.mjs").Bench} bench */
export const backpressure = async (bench) => {
  const { peer, say } = bench
  const bare = await bench.worker("bare")
  const bareBefore = await bare.call("collectedRss")
  await bare.call("hold", { url: bench.url("held-bare"), most: HELD })
  await peer.call("floodNumbered", { group: "held-bare" })
  await sleep(bench.stopMs)
  const bareGrown = ((await bare.call("peak")) - bareBefore) / MB
  await peer.call("stop", { group: "held-bare" })
  await bare.stop()
  say(`back-pressure: bare, paused by hand, holds ${bareGrown.toFixed(1)} MB`)

  const managed = await bench.worker("managed", ["gated"])
  await managed.call("connect", { url: bench.url("held"), count: 1 })
  await peer.call("floodNumbered", { group: "held" })
  await sleep(1000)
  const before = await managed.call("mark")
  await managed.call("shut")
  const rss = await managed.call("peak")
  await sleep(bench.stopMs / 3)
  const written = async () => (await peer.call("sent", { group: "held" })).bytes
  const paused = await written()
  await sleep((bench.stopMs * 2) / 3)
  const pausedLater = await written()
  const during = await managed.call("mark")
  const grown = ((await managed.call("peak")) - rss) / MB
  say(
    `back-pressure: stopped for ${bench.stopMs} ms, RSS +${grown.toFixed(1)} MB, peer wrote ${pausedLater - paused} bytes`
  )

  await managed.call("open")
  await sleep(500)
  await peer.call("stop", { group: "held" })
  await standstill(async () => (await managed.call("mark")).frames, 300)
  const end = await managed.call("mark")
  const { frames: sent } = await peer.call("sent", { group: "held" })
  await managed.stop()

  const stood = before.frames > 0 && paused === pausedLater && end.frames > during.frames
  const exact = end.missed === 0 && end.unordered === 0 && end.misnumbered === 0 && end.frames === sent
  return [
    {
      figure: 5,
      name: "back-pressure, a bus that stops",
      unit: "MB RSS more",
      bare: fixed(bareGrown, 1),
      managed: fixed(grown, 1),
      value: fixed(grown, 1),
      what: "MB",
      bound: { atMost: MOST_MB },
      timed: false,
      exact,
      holds: stood,
      notes: [
        stood
          ? `peer stood still for ${Math.round((bench.stopMs * 2) / 3)} ms;`
          : "THE PEER WAS NOT PAUSED, or nothing went on;",
        exact ? `${end.frames} frames, all there, in order` : `NOT EXACT: ${JSON.stringify({ ...end, sent })}`
      ]
    }
  ]
}
