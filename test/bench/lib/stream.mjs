/** What stands in a topic's Redis stream: the judge of both ways, beside our code and Dapr's. */
import { sleep } from "./stats.mjs"

const PAGE = 500
const PATIENCE_MS = 60_000

/** @param {import("./dapr.mjs").Dapr} dapr @param {string} topic with packed events it must have one connection alone */
export const judgeOf = ({ redis }, topic) => {
  /** the last sequence looked at, by connection */
  const seen = new Map()
  let before = 0

  const inLatest = async () => {
    const [latest] = await redis.command("XREVRANGE", topic, "+", "-", "COUNT", "1")
    return latest === undefined ? 0 : last(dataOf(latest)) - before
  }

  return {
    /** Waits until so many frames are there that were not yet looked at. */
    arrived: async (count, packed = false) => {
      const deadline = Date.now() + PATIENCE_MS
      for (;;) {
        const there = packed ? await inLatest() : await redis.command("XLEN", topic)
        if (there >= count) return
        if (Date.now() > deadline) throw new Error(`${there} of ${count} frames in ${topic} after a minute`)
        // An event of many frames is not asked for as lightly as a number.
        await sleep(packed ? 20 : 5)
      }
    },

    /** Looks at every event and takes them away: frames, and how many were not the next of their connection. */
    look: async () => {
      let frames = 0
      let unordered = 0
      for (let from = "-"; ;) {
        const page = await redis.command("XRANGE", topic, from, "+", "COUNT", `${PAGE}`)
        for (const entry of page) {
          const data = dataOf(entry)
          const subject = /"subject":"([^"]*)"/.exec(data)?.[1]
          const first = Number(/"sequence":"(\d+)"/.exec(data)?.[1])
          if (first !== (seen.get(subject) ?? 0) + 1) unordered++
          seen.set(subject, last(data))
          frames += last(data) - first + 1
        }
        if (page.length < PAGE) break
        from = `(${page.at(-1)[0]}`
      }
      before += frames
      await redis.command("DEL", topic)
      return { frames, unordered }
    }
  }
}

/**
 * Every event of a topic so far, as JSON.
 *
 * @param {{ command: (...words: Array<string>) => Promise<any> }} redis @param {string} topic
 */
export const streamEvents = async (redis, topic) => {
  const events = []
  for (let from = "-"; ;) {
    const page = await redis.command("XRANGE", topic, from, "+", "COUNT", `${PAGE}`)
    events.push(...page.map((entry) => JSON.parse(dataOf(entry))))
    if (page.length < PAGE) return events
    from = `(${page.at(-1)[0]}`
  }
}

const dataOf = ([, fields]) => {
  for (let i = 0; i < fields.length; i += 2) if (String(fields[i]) === "data") return String(fields[i + 1])
  return ""
}

const last = (data) => Number(/"sequencelast":"(\d+)"/.exec(data)?.[1] ?? /"sequence":"(\d+)"/.exec(data)?.[1])
