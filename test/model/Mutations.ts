/**
 * Ways to break the protocol on purpose, in the product's own code: an exact piece of its source, and what stands there
 * instead. Each must be found by the scenario that is named, or by one of them.
 */
import { edit, type Mutation } from "./Edits.js"
import { PROTOCOL } from "./ProtocolMutations.js"

export const MUTATIONS: ReadonlyArray<Mutation> = [
  // ------------------------------------------------------------ what ends whoever runs it
  {
    name: "no record is ever put into quarantine",
    edits: [edit("domain/stored/Trial.ts", "if (under && trial.alone === true", "if (!under && trial?.alone === true")],
    found: "a record that ends whatever runs it costs two",
    kind: "P4 a record ended a third instance"
  },
  {
    name: "suspects are not dialled apart",
    edits: [
      edit("domain/stored/Trial.ts", "const waits = deaths > 0 && died", "const waits = false"),
      edit("domain/stored/Trial.ts", "if (under && trial.alone === true &&", "if (under &&")
    ],
    found: "three instances that are killed",
    kind: "P4 neighbours are in quarantine"
  },
  // ------------------------------------------------------------ the grossest
  {
    name: "skip the fence",
    edits: [
      edit(
        "membership/peers/Fence.ts",
        "    if (!life.valid()) return true\n",
        '    if (life.valid()) {\n      conclude(fleet, known, { ...record, status: "dead" })\n      return true\n    }\n'
      )
    ],
    found: "an instance that is frozen"
  },
  {
    name: "reuse an epoch",
    edits: [
      edit(
        "domain/stored/ConnectionRecord.ts",
        "Math.max(old + 1, Math.floor(nowMillis / 1000))",
        "old || Math.floor(nowMillis / 1000)"
      )
    ],
    found: "a process is killed"
  },
  {
    name: "act after the lease has expired",
    edits: [
      edit(
        "membership/lease/Incarnation.ts",
        "if (this.remaining() > 0) return true",
        "if (this.#endedBy === undefined) return true"
      ),
      edit("membership/lease/Incarnation.ts", "  lapse(): void {\n    this.#lapsed = true\n", "  lapse(): void {\n")
    ],
    found: "an instance that is cut off alone"
  },
  {
    name: "forget the nonce",
    edits: [edit("state/GuardedWrite.ts", "nonceOf(found.value.value) === nonce", 'nonceOf(found.value.value) === ""')],
    found: "a create whose answer is lost"
  },
  {
    name: "claim without the page",
    edits: [edit("ownership/takeover/Claim.ts", "    tenure.pages.add(record.id),\n", "    Effect.void,\n")],
    found: "a process is killed"
  },
  ...PROTOCOL,
  // ------------------------------------------------------------ promises 3 and 4
  {
    name: "a takeover tells no gap",
    edits: [
      edit("manager/connection/ConnectionLoop.ts", 'c.inherited === undefined ? undefined : "takeover"', "undefined")
    ],
    found: "a process is killed"
  },
  {
    name: "a takeover does not say where the stream was left",
    edits: [
      edit(
        "manager/connection/Registry.ts",
        "adoptStored(core, owned, before, before.last)",
        "adoptStored(core, owned, before, { ...before.last, sequence: 0 })"
      )
    ],
    found: "an instance that is frozen"
  },
  {
    name: "what was dropped passes for published",
    edits: [edit("manager/connection/ConnectionLane.ts", "openLane(core, c, last)", "openLane(core, c)")],
    found: "what was dropped with the lease"
  },
  {
    name: "a buffer has no bound",
    edits: [
      edit(
        "messaging/publish/FrameBuffer.ts",
        "return this.frames >= this.frameLimit || this.bytes + size > this.byteLimit",
        "return this.frames + size < 0"
      )
    ],
    found: "a flood on a slow topic"
  },
  {
    name: "what is dropped with the lease keeps its place in memory",
    edits: [
      edit(
        "manager/connection/ConnectionLane.ts",
        "  const lost = lane.discard()\n  c.laneClosed",
        "  const lost = lane.pendingFrames()\n  c.laneClosed"
      )
    ],
    found: "what waits when the lease is lost",
    kind: "P4"
  },
  // ------------------------------------------------------------ planned moves
  {
    name: "break before make, and the source keeps its socket until it hears of the target",
    edits: [
      edit(
        "manager/migration/MigrationSource.ts",
        "        yield* core.supervisor.pause(c, c.spec.reconnect.leaveCode ?? closing.code, closing.reason)\n        c.change",
        "        c.change"
      )
    ],
    found: "break before make: the target cannot tell",
    kind: "P1"
  },
  {
    name: "the source goes on after the target has confirmed",
    edits: [
      edit(
        "manager/migration/MigrationSource.ts",
        "      yield* core.supervisor.stop(c, c.spec.reconnect.leaveCode ?? closing.code, closing.reason)\n",
        "      void closing\n"
      )
    ],
    found: "make before break: a move with nothing",
    kind: "P1"
  },
  {
    name: "a connection that is being moved outlives the lease of its source",
    edits: [
      edit(
        "manager/connection/IncarnationLoop.ts",
        "            if (c.owned.life !== life) continue\n",
        "            if (c.owned.life !== life || c.isMoving()) continue\n"
      ),
      edit(
        "manager/connection/Registry.ts",
        "filter((c) => c.owned.life.ended())",
        "filter((c) => c.owned.life.ended() && !c.isMoving())"
      )
    ],
    found: "make before break: the source is cut off alone once it is claimed",
    kind: "P1"
  },
  {
    name: "an offer is taken back in memory alone",
    edits: [
      edit(
        "ownership/takeover/Handover.ts",
        "    return rewrite(context, owned, (record) => ({ ...record, handover: undefined }), { patient: true }).pipe(",
        "    return Effect.succeed(true).pipe("
      )
    ],
    found: "break before make: a claim lands late",
    kind: "P1"
  },
  // ------------------------------------------------------------ the store comes back empty
  {
    name: "what the store forgot is forgotten",
    edits: [
      edit(
        "ownership/records/PageTenures.ts",
        "      for (const owned of held) forgotten",
        "      for (const owned of []) forgotten"
      )
    ],
    found: "the store comes back empty: everybody",
    kind: "P2"
  },
  {
    name: "a first page is made without asking whether this instance stands in the store",
    edits: [
      edit(
        "ownership/records/Pages.ts",
        "Effect.zipRight(asked, write(n, { ids, unknown }, page?.version, false))",
        "write(n, { ids, unknown }, page?.version, false)"
      )
    ],
    found: "the store comes back empty under an instance without a page",
    kind: "P1 two sockets of one connection"
  },
  {
    name: "what was being removed when the store was emptied is forgotten",
    edits: [
      edit(
        "ownership/takeover/RestartRecovery.ts",
        "      yield* endByTombstone(context, tenure, id, before.epoch)\n",
        ""
      )
    ],
    found: "the store comes back empty under a Connect, whose dial",
    kind: "P2 a record that no page names"
  },
  {
    name: "a create is repeated without asking whether its writer still stands",
    edits: [edit("state/GuardedWrite.ts", "if (unknown && expected === undefined && !", "if (!unknown && !")],
    found: "the store comes back empty after a create has landed",
    kind: "P1 an epoch is used again"
  },
  {
    name: "what was being created when the store was emptied is forgotten",
    edits: [
      edit(
        "ownership/records/PageTenures.ts",
        "      for (const id of tenure?.pages.ids() ?? []) if (!forgotten.has(id)) unlisted.add(id)\n",
        ""
      )
    ],
    found: "the store comes back empty before a create is sent",
    kind: "P2 a record that no page names"
  },
  {
    name: "what the store forgot begins with its old epoch",
    edits: [
      edit(
        "ownership/takeover/RestartRecovery.ts",
        "      const epoch = nextEpoch(before.epoch + 1, context.elapsed.now() + 1000)\n      const { incarnation }",
        "      const { epoch } = before\n      const { incarnation }"
      )
    ],
    found: "the store comes back empty: everybody",
    kind: "P1"
  }
]
