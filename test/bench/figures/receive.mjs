/** Figure 1: from the socket to a subscriber in the process, as fast as frames come, against `ws` alone. */
import { fixed, median, sleep, standstill } from "../lib/stats.mjs"

/** @param {import("../main.mjs").Bench} bench @param {number} sockets @param {number} bound */
export const receive = async (bench, sockets, bound) => {
  const { peer, rounds, say } = bench
  const name = `receive, ${sockets === 1 ? "1 connection" : `${sockets} connections`}`
  const workers = { bare: await bench.worker("bare"), managed: await bench.worker("managed") }
  const group = (way) => `flood-${sockets}-${way}`
  for (const [way, worker] of Object.entries(workers)) {
    await worker.call("connect", { url: bench.url(group(way)), count: sockets })
  }

  const round = async (way, ms) => {
    const worker = workers[way]
    await peer.call("flood", { group: group(way) })
    await sleep(200)
    const before = await worker.call("mark")
    await sleep(ms)
    const after = await worker.call("mark")
    await peer.call("stop", { group: group(way) })
    await standstill(async () => (await worker.call("mark")).frames)
    const count = after.frames - before.frames
    return { rate: (count / (after.at - before.at)) * 1000, cpu: (after.cpu - before.cpu) / count }
  }

  const got = { bare: [], managed: [] }
  for (let i = 0; i <= rounds; i++) {
    const pair = { bare: await round("bare", bench.roundMs), managed: await round("managed", bench.roundMs) }
    // The first round is for the compiler.
    if (i === 0) continue
    for (const way of ["bare", "managed"]) got[way].push(pair[way])
    const ratio = pair.managed.rate / pair.bare.rate
    say(`${name}, round ${i}: ${ratio.toFixed(2)} of ${Math.round(pair.bare.rate / 1000)} k frames/s`)
  }

  const end = await workers.managed.call("mark")
  const { frames: sent } = await peer.call("sent", { group: group("managed") })
  for (const worker of Object.values(workers)) await worker.stop()
  const exact = end.missed === 0 && end.unordered === 0 && end.frames === sent
  const ratios = got.managed.map(({ rate }, i) => rate / got.bare[i].rate)
  const cpuRatios = got.managed.map(({ cpu }, i) => cpu / got.bare[i].cpu)
  const rate = (way) => Math.round(median(got[way].map((one) => one.rate)))
  return [
    {
      figure: 1,
      name,
      unit: "frames/s",
      bare: rate("bare"),
      managed: rate("managed"),
      value: fixed(median(ratios)),
      what: "of bare",
      bound: { atLeast: bound },
      timed: true,
      exact,
      holds: true,
      notes: [
        `CPU per frame ${fixed(median(cpuRatios))} x bare`,
        exact ? `${end.frames} frames, none missed, all in order` : `NOT EXACT: ${JSON.stringify({ ...end, sent })}`
      ]
    }
  ]
}
