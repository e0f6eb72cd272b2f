/** Figure 4: a Send and its reply over each door, against the same round trip by `ws` alone. */
import { fixed, median, quantile } from "../lib/stats.mjs"

const WAYS = ["bare", "rpc", "grpc"]

/** @param {import("../main.mjs").Bench} bench */
export const send = async (bench) => {
  const server = await bench.server()
  const worker = await bench.worker("sender")
  await worker.call("open", { echoUrl: bench.echoUrl, httpUrl: server.httpUrl, grpcAddress: server.grpcAddress })
  const figures = []
  // The compiler needs some thousands of calls: until then a call costs several times as much.
  for (const way of WAYS) await worker.call("run", { way, atOnce: 64, ms: bench.warmMs })
  for (const atOnce of [1, 64]) {
    /** @type {Record<string, Array<{ p50: number, p99: number, rate: number }>>} */
    const got = { bare: [], rpc: [], grpc: [] }
    for (let i = 0; i <= bench.rounds; i++) {
      for (const way of WAYS) {
        const ms = bench.roundMs
        const micros = await worker.call("run", { way, atOnce, ms })
        if (i === 0) continue
        got[way].push({ p50: median(micros), p99: quantile(micros, 0.99), rate: (micros.length / ms) * 1000 })
      }
      if (i === 0) continue
      const shown = WAYS.map((way) => `${way} ${Math.round(got[way].at(-1).p50)}`).join(", ")
      bench.say(`send, ${atOnce} in flight, round ${i}: p50 us ${shown}`)
    }
    const of = (way, what) => median(got[way].map((one) => one[what]))
    for (const way of ["rpc", "grpc"]) {
      figures.push({
        figure: 4,
        name: `Send over ${way === "rpc" ? "RPC-ws" : "gRPC"}, ${atOnce} in flight`,
        unit: "us round trip, p50",
        bare: Math.round(of("bare", "p50")),
        managed: Math.round(of(way, "p50")),
        value: fixed(median(got[way].map(({ p50 }, i) => p50 - got.bare[i].p50)) / 1000),
        what: "ms added",
        timed: true,
        holds: true,
        notes: [
          `p99 ${Math.round(of(way, "p99"))} (bare ${Math.round(of("bare", "p99"))}) us,`,
          `${Math.round(of(way, "rate"))} (bare ${Math.round(of("bare", "rate"))}) a second`
        ]
      })
    }
  }
  await worker.stop()
  await server.stop()
  return figures
}
