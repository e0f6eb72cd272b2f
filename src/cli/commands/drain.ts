/** `wsm drain`: the answering instance gives everything away, and a bar tells how far it is. */
import * as Command from "@effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as M from "../../domain/Messages.js"
import type { ManagerClient } from "../../rpc/Client.js"
import { CliHost } from "../CliHost.js"
import { optional } from "../Parameters.js"
import { withManager } from "../RemoteManager.js"
import { bar, block, jsonLine, plain } from "../Text.js"
import { choice, duration } from "../Values.js"
import { hint, print, remote } from "./shared.js"

const drainMode = choice({
  migrate: "DRAIN_MODE_MIGRATE_CONNECTIONS",
  wait: "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE"
} as const)

const drained = (answer: M.DrainResponse): string =>
  block([
    ["migrated", String(answer.migrated)],
    ["closed", String(answer.closed)],
    ["abandoned", `${answer.abandoned}${answer.abandoned === 0 ? "" : " (released, others will take them)"}`]
  ])

interface Progress {
  /** the instance that drains, and what it had at the start */
  readonly instance: string
  readonly total: number
  readonly gone: () => number
}

/** Counts what leaves the instance, as its events tell it; none where it does not tell its id. */
const watched = (manager: ManagerClient["Type"]): Effect.Effect<Option.Option<Progress>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { instances } = yield* manager.ListInstances({})
    const [first] = instances
    if (first === undefined) return Option.none()
    const events = yield* manager.open("Watch", {})
    const gone = new Set<string>()
    const count = (event: M.WatchResponse) => {
      const { attributes, connectionId, instanceId, type } = event
      const left = type === "migrated" && attributes["migratefrom"] === first.id
      if (instanceId === first.id && (left || type === "disconnected")) gone.add(connectionId)
    }
    yield* Effect.forkScoped(Effect.ignore(Stream.runForEach(events, (event) => Effect.sync(() => count(event)))))
    return Option.some({ instance: first.id, total: first.connections, gone: () => gone.size })
  }).pipe(Effect.orElseSucceed(Option.none))

/** A terminal gets a bar that moves, anything else a line a second on standard error; until interrupted. */
const show = ({ gone, instance, total }: Progress) =>
  Effect.gen(function* () {
    const host = yield* CliHost
    const began = yield* Clock.currentTimeMillis
    const every = host.terminal ? "200 millis" : "1 second"
    const draw = Effect.gen(function* () {
      const done = Math.min(gone(), total)
      const seconds = Math.round(((yield* Clock.currentTimeMillis) - began) / 1000)
      const text = `${done} of ${total} connections gone, ${seconds} s`
      if (!host.terminal) return yield* host.complain(`draining ${plain(instance)}: ${text}`)
      const width = Math.max(10, Math.min(40, (host.columns() ?? 80) - text.length - 8))
      yield* Effect.ignore(host.write(`\r\u001b[K[${bar(done, total, width)}]  ${text}`))
    })
    if (host.terminal) yield* draw
    yield* Effect.forever(Effect.zipRight(Effect.sleep(every), draw)).pipe(
      Effect.ensuring(host.terminal ? Effect.ignore(host.write("\r\u001b[K")) : Effect.void)
    )
  })

export const drain = Command.make(
  "drain",
  {
    mode: optional("mode", "MODE", drainMode, "migrate hands everything over (default), wait lets it close by itself"),
    timeout: optional("timeout", "D", duration, "At most this long, else 30 seconds; what is left then is released"),
    ...remote
  },
  ({ json, mode, server, timeout }) =>
    withManager(server, (manager) =>
      Effect.gen(function* () {
        yield* hint("draining: the instance gives everything away and takes nothing new …")
        const progress = json ? Option.none() : yield* watched(manager)
        const draining = manager.Drain({
          ...(mode === undefined ? {} : { mode }),
          ...(timeout === undefined ? {} : { timeoutMs: timeout })
        })
        const answer = yield* Option.isNone(progress)
          ? draining
          : Effect.raceFirst(draining, Effect.zipRight(show(progress.value), Effect.never))
        yield* print(json ? jsonLine(answer) : drained(answer))
        yield* hint("the process stays, left and not ready, until it is ended")
      })
    )
).pipe(Command.withDescription("The instance at --server gives everything away, and leaves"))
