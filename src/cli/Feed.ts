/**
 * A small WebSocket server to try things on: it sends ticks, echoes what it receives, and can cut its sockets.
 *
 * The ticks are numbered across all sockets and drops, so that a reader sees what it missed while it was away.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { WebSocket } from "ws"
import { bracketed } from "../common/Hosts.js"
import { CommandFailed } from "./Failure.js"

export interface FeedOptions {
  readonly host: string
  /** 0: any free port */
  readonly port: number
  /** ticks a second, for each socket */
  readonly rate: number
  /** a tick is padded to this many bytes */
  readonly size: number
  /** cut every socket this often, milliseconds; undefined: never */
  readonly dropEvery: number | undefined
  /** what happens, for the person at the terminal */
  readonly say: (line: string) => void
}

/** The tick with this number, padded with a field of blanks where it is too short. */
export const tick = (sequence: number, time: number, size: number): string => {
  // a price that wanders, without chance: the same number, the same price
  const price = (100 + 5 * Math.sin(sequence / 50) + 2 * Math.sin(sequence / 7)).toFixed(2)
  const bare = `{"seq":${sequence},"time":"${new Date(time).toISOString()}","price":${price}`
  const missing = size - bare.length - `,"pad":""}`.length
  return missing < 0 ? `${bare}}` : `${bare},"pad":"${"x".repeat(missing)}"}`
}

/** Not more than this waits for a slow reader; meanwhile it gets no ticks. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024
const STEP_MILLIS = 10

/** Starts the server; it ends, and cuts every socket, with the scope. Answers its URL. */
export const feed = (options: FeedOptions): Effect.Effect<string, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { WebSocketServer } = yield* Effect.promise(() => import("ws"))
    const sockets = new Set<WebSocket>()
    const server = yield* Effect.acquireRelease(
      Effect.async<InstanceType<typeof WebSocketServer>, CommandFailed>((resume) => {
        const server = new WebSocketServer({ host: options.host, port: options.port, maxPayload: 16 * 1024 * 1024 })
        server.once("error", (error) =>
          resume(
            Effect.fail(new CommandFailed({ line: `the feed cannot listen: ${error.message}; name another --port` }))
          )
        )
        server.once("listening", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.async<void>((resume) => {
          for (const socket of sockets) socket.terminate()
          server.close(() => resume(Effect.void))
        })
    )

    server.on("connection", (socket) => {
      sockets.add(socket)
      options.say(`a socket opened (${sockets.size} now)`)
      socket.on("message", (data: Buffer, binary) => socket.send(data, { binary }))
      socket.on("error", () => socket.terminate())
      socket.on("close", () => {
        sockets.delete(socket)
        options.say(`a socket closed (${sockets.size} now)`)
      })
    })

    let sequence = 0
    const start = performance.now()
    yield* every(STEP_MILLIS, () => {
      // what is due by now: the rate holds though timers are late
      const due = Math.floor(((performance.now() - start) / 1000) * options.rate)
      if (sockets.size === 0) sequence = due
      while (sequence < due) {
        const text = tick(++sequence, Date.now(), options.size)
        for (const socket of sockets) {
          if (socket.readyState === socket.OPEN && socket.bufferedAmount < MAX_WAITING_BYTES) socket.send(text)
        }
      }
    })
    if (options.dropEvery !== undefined) {
      yield* every(options.dropEvery, () => {
        if (sockets.size > 0) options.say(`cutting ${sockets.size} socket${sockets.size === 1 ? "" : "s"}`)
        for (const socket of sockets) socket.terminate()
      })
    }

    const bound = server.address()
    const port = typeof bound === "object" && bound !== null ? bound.port : options.port
    return `ws://${bracketed(options.host)}:${port}`
  })

const every = (millis: number, step: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => setInterval(step, millis)),
      (timer) => Effect.sync(() => clearInterval(timer))
    )
  )
