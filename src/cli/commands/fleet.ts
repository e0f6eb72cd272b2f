/** Commands on the fleet: events, instances, migrate, rebalance. */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import type * as M from "../../domain/Messages.js"
import { connectionBlock, eventJson, eventLine, INSTANCE_HEADER, instanceRow } from "../Format.js"
import { flag, optional, optionalArgument, repeated, repeatedText } from "../Parameters.js"
import { withManager } from "../RemoteManager.js"
import { block, jsonLine, plain, table } from "../Text.js"
import { integer, keyValue } from "../Values.js"
import { id } from "./connections.js"
import { drain } from "./drain.js"
import { count, follow, hint, print, remote } from "./shared.js"

const events = Command.make(
  "events",
  {
    id: repeatedText("id", "ID", "Only of this connection"),
    tag: repeated("tag", "K=V", keyValue, "Only of connections with this label"),
    count,
    ...remote
  },
  ({ count, id, json, server, tag }) =>
    withManager(server, (manager) =>
      follow(manager.open("Watch", { ids: id, filters: tag.map(([key, value]) => ({ key, value })) }), {
        count,
        json,
        toJson: eventJson,
        toLine: eventLine,
        what: "the events",
        ended: "no more events will come: the server stops"
      })
    )
).pipe(Command.withDescription("Follow what happens to connections and instances, until Ctrl-C"))

const instances = Command.make("instances", remote, ({ json, server }) =>
  withManager(server, (manager) =>
    Effect.flatMap(manager.ListInstances({}), ({ instances }) =>
      print(json ? jsonLine({ instances }) : table(INSTANCE_HEADER, instances.map(instanceRow)))
    )
  )
).pipe(Command.withDescription("List the instances of the fleet"))

const migrate = Command.make(
  "migrate",
  { id, target: optionalArgument("INSTANCE", "Who takes it; the manager chooses if it is left out"), ...remote },
  ({ id, json, server, target }) =>
    withManager(server, (manager) =>
      Effect.flatMap(
        manager.Migrate({ id, ...(target === undefined ? {} : { targetInstanceId: target }) }),
        ({ connection }) =>
          Effect.zipRight(
            hint(`instance ${plain(connection.instanceId)} has it now`),
            print(json ? jsonLine({ connection }) : connectionBlock(connection))
          )
      )
    )
).pipe(Command.withDescription("Hand a connection to another instance"))

const rebalanced = (answer: M.RebalanceResponse, dryRun: boolean): string =>
  [
    block([
      [dryRun ? "would move" : "moved", String(answer.moved)],
      ["failed", answer.failed === 0 ? "" : String(answer.failed)]
    ]),
    "",
    table(
      ["INSTANCE", "CONNECTIONS"],
      Object.entries(answer.connections).map(([instance, connections]) => [instance, String(connections)])
    )
  ].join("\n")

const rebalance = Command.make(
  "rebalance",
  {
    maxMoves: optional("max-moves", "N", integer(1, 0xffff_ffff), "Move at most this many, else as many as it takes"),
    dryRun: flag("dry-run", "Only count what would move"),
    ...remote
  },
  ({ dryRun, json, maxMoves, server }) =>
    withManager(server, (manager) =>
      Effect.gen(function* () {
        if (!dryRun) yield* hint("moving connections, at half the dial rate, until every instance has its share …")
        const answer = yield* manager.Rebalance({ dryRun, ...(maxMoves === undefined ? {} : { maxMoves }) })
        yield* print(json ? jsonLine(answer) : rebalanced(answer, dryRun))
        if (!dryRun && answer.failed > 0)
          yield* hint("what failed stays where it was; the log of its instance says why")
      })
    )
).pipe(Command.withDescription("Spread the connections evenly over the live instances"))

export const fleetCommands = [events, instances, migrate, drain, rebalance] as const
