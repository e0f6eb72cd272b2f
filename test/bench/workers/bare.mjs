/** The counterpart of every figure: `ws` alone, doing the least that can be done. */
import { WebSocket } from "ws"
import { answer } from "../lib/child.mjs"
import { cpu, collectedRss, several } from "../lib/measure.mjs"

let frames = 0
/** @type {Array<WebSocket>} */
const sockets = []
/** @type {Array<Buffer>} */
let kept = []
let peakRss = 0

/** @param {string} url */
const dial = (url) =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { perMessageDeflate: false })
    ws.on("open", () => resolve(ws))
    ws.on("error", reject)
    sockets.push(ws)
  })

answer({
  connect: ({ url, count }) =>
    several(count, async () => {
      const ws = await dial(url)
      ws.on("message", () => {
        frames++
      })
    }).then(() => {}),

  /** One socket that pauses itself once so many frames are held, and lets go of them when told. */
  hold: async ({ url, most }) => {
    const ws = await dial(url)
    ws.on("message", (data) => {
      frames++
      if (kept.push(data) === most) ws.pause()
    })
    setInterval(() => {
      peakRss = Math.max(peakRss, process.memoryUsage().rss)
    }, 20)
  },
  peak: () => peakRss,

  mark: () => ({ frames, cpu: cpu(), at: performance.now(), missed: 0, unordered: 0 }),
  collectedRss
})
