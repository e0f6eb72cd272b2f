/** A reader of a topic's Redis stream, that is told of each event as it comes: how old is it, by the time in its frame. */
import { answer } from "../lib/child.mjs"
import { Resp } from "../../support/Resp.mjs"

const { redisPort } = JSON.parse(process.argv[3])
const redis = await Resp.connect(redisPort)
const BLOCK_MS = 100
const QUIET_MS = 3000

/** @type {Array<number>} */
let micros = []
/** by topic, the last event that was read */
const last = new Map()

answer({
  /** Microseconds of each event that comes until there are so many, or none comes for a while. */
  read: async ({ count, topic }) => {
    micros = []
    let quiet = 0
    while (micros.length < count && quiet < QUIET_MS) {
      const from = last.get(topic) ?? "0"
      const streams = await redis.command("XREAD", "BLOCK", `${BLOCK_MS}`, "COUNT", "1000", "STREAMS", topic, from)
      const now = process.hrtime.bigint()
      quiet = streams === null ? quiet + BLOCK_MS : 0
      for (const [id, fields] of streams?.[0][1] ?? []) {
        last.set(topic, String(id))
        const at = /"data":"(\d+)/.exec(fields.join(" "))?.[1]
        micros.push(Number(now - BigInt(at)) / 1000)
      }
    }
    return micros
  }
})
