import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import { WebSocket, WebSocketServer } from "ws"
import type { AddressInfo } from "node:net"
import { ReadFairness, type Reading } from "../../src/socket/wire/ReadFairness.js"
import { eventually, open, sessionsLayer, specOf } from "./testSession.js"

const FLOODS = 8
const FRAME = 1000
/** 12 MB each */
const FRAMES = 12_000

/** A server that sends every socket its numbered frames as fast as it takes them, once all are there. */
const flooding = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false })
    server.on("connection", () => {
      if (server.clients.size < FLOODS) return
      for (const client of server.clients) flood(client)
    })
    await once(server, "listening")
    return { server, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/` }
  }),
  ({ server }) =>
    Effect.sync(() => {
      for (const client of server.clients) client.terminate()
      server.close()
    })
)

const flood = (client: WebSocket): void => {
  for (let i = 0; i < FRAMES; i++) client.send(`${i}`.padEnd(FRAME, "."))
}

describe("many floods at once", () => {
  it.scopedLive("leave the event loop its turns, and lose no frame and no order", () =>
    Effect.gen(function* () {
      const { url } = yield* flooding
      const next = Array.from({ length: FLOODS }, () => 0)
      let unordered = 0
      let inTurn = 0
      let mostInTurn = 0
      let counting = true
      const turn = () => {
        mostInTurn = Math.max(mostInTurn, inTurn)
        inTurn = 0
        if (counting) setImmediate(turn)
      }
      turn()
      yield* Effect.forEach(
        next,
        (_, i) =>
          open(specOf(url), {
            onFrame: (data) => {
              inTurn += data.length
              if (Number.parseInt(data.toString("latin1", 0, 8), 10) !== next[i]) unordered++
              next[i]!++
            }
          }),
        { concurrency: FLOODS }
      )
      yield* eventually(() => next.every((count) => count === FRAMES), 20_000)
      counting = false
      expect(unordered).toBe(0)
      // Eight megabytes, a chunk that each may bring beyond, and what the one that is held up had read already.
      expect(mostInTurn).toBeLessThan(11 * 1024 * 1024)
    }).pipe(Effect.provide(sessionsLayer()))
  )

  it.live("hold up those that bring much, never one that brings little, and let go of one in each turn", () =>
    Effect.promise(async () => {
      const turns = new ReadFairness()
      const log: Array<string> = []
      const reading = (name: string): Reading => ({
        held: false,
        beyond: 0,
        turn: 0,
        faulted: (defect) => {
          throw defect
        },
        pauseReading: () => log.push(`${name} pauses`),
        resumeReading: () => log.push(`${name} goes on`)
      })
      const [a, b, quiet] = [reading("a"), reading("b"), reading("quiet")]
      const mega = 1024 * 1024
      for (let i = 0; i < 9; i++) turns.frame(mega, a)
      turns.frame(mega, b)
      for (let i = 0; i < 10; i++) turns.frame(200, quiet)
      expect(log).toEqual(["a pauses", "b pauses"])
      await new Promise((resume) => setImmediate(resume))
      expect(log.slice(2)).toEqual(["a goes on"])
      turns.frame(7 * mega, a)
      expect(log.slice(3)).toEqual([])
      await new Promise((resume) => setImmediate(resume))
      expect(log.slice(3)).toEqual(["b goes on"])
    })
  )
})
