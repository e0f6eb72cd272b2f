/** Commands that need no manager: feed. */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import { Host } from "../Host.js"
import { optional, optionalText } from "../Parameters.js"
import { bytes, duration, integer, rate } from "../Values.js"
import { print } from "./shared.js"

export const FEED_PORT = 8999

const feed = Command.make(
  "feed",
  {
    port: optional("port", "N", integer(0, 65535), `The port to listen on, else ${FEED_PORT}; 0 is any free one`),
    host: optionalText("host", "ADDRESS", "The address to listen on, else 127.0.0.1"),
    rate: optional("rate", "R", rate, "Ticks for each socket, as '200 per second'; else 10 per second"),
    size: optional("size", "SIZE", bytes, "Pad each tick to this many bytes"),
    dropEvery: optional("drop-every", "D", duration, "Cut every socket this often, to see reconnects")
  },
  (options) =>
    Effect.gen(function* () {
      const host = yield* Host
      const { feed } = yield* Effect.promise(() => import("../Feed.js"))
      const perSecond = options.rate ?? 10
      const url = yield* feed({
        host: options.host ?? "127.0.0.1",
        port: options.port ?? FEED_PORT,
        rate: perSecond,
        size: options.size ?? 0,
        dropEvery: options.dropEvery,
        say: (line) => Effect.runFork(host.complain(line))
      })
      const drops = options.dropEvery === undefined ? "" : `, cut every ${options.dropEvery / 1000} s`
      yield* print(`feed is up: ${url} (${perSecond} ticks per second${drops}; it echoes what it receives)`)
      yield* print(`then:  wsm connect ${url} --topic demo   and   wsm subscribe demo   ·  Ctrl-C ends it`)
      yield* Effect.never
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("A sample WebSocket server to try things on"))

export const localCommands = [feed] as const
