/** Sees everything, tells no instance, and keeps what does not fit the promises of one to four. */
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { encode } from "../../src/domain/CloudEvent.js"
import type { ConnectionRecord } from "../../src/domain/stored/ConnectionRecord.js"
import type { Published } from "../../src/testing/Bus.js"
import type { MemorySocket } from "../../src/testing/MemorySockets.js"
import { Callers } from "./Callers.js"
import { Emptied } from "./Emptied.js"
import { Frames } from "./Frames.js"
import { Held } from "./Held.js"
import { CONNECTIONS } from "./Limits.js"
import { type Actor, Moves } from "./Moves.js"
import { whose } from "./Sockets.js"
import { START } from "./VirtualTime.js"
import type { World } from "./World.js"

export interface Violation {
  readonly kind: string
  readonly text: string
  /** milliseconds since the start */
  readonly at: number
}

export interface Fence {
  readonly at: number
  readonly incarnation: string
  readonly by: string
  readonly reason: string
  readonly ofLiving: boolean
  /** the victim did not know who fenced it */
  readonly stranger: boolean
}

/** What stands in the store under a connection's key, as far as it matters here. */
export type Row = Partial<
  Pick<ConnectionRecord, "owner" | "incarnation" | "epoch" | "status" | "handover" | "last" | "spec">
> & {
  readonly tombstone?: true
  readonly v?: number
  /** ISO 8601 */
  readonly createdAt?: string
}

export class Checker {
  readonly found: Array<Violation> = []
  readonly counts: Record<string, number> = {}
  readonly fences: Array<Fence> = []
  /** what was refused falsely: by the strange network, while the process lived */
  strange = 0
  private readonly owners = new Map<string, string>()
  private readonly given: Array<{ readonly incarnation: string; readonly at: number }> = []
  private readonly highest = new Map<string, number>()
  /** incarnation -> number of the instance */
  private readonly lives = new Map<string, number>()
  private readonly removed = new Set<string>()
  readonly emptied = new Emptied()
  readonly frames: Frames
  readonly callers: Callers
  private readonly moves: Moves
  private readonly held: Held
  private readonly consumer = acceptInOrder()
  private readonly seen = new Set<string>()

  constructor(private readonly world: World) {
    this.frames = new Frames(world)
    this.callers = new Callers(world)
    this.moves = new Moves(world)
    this.held = new Held(world)
  }

  bump(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
  }

  violation(kind: string, text: string): void {
    this.world.log("!!", kind, text)
    if (!this.found.some((v) => v.kind === kind)) this.found.push({ kind, text, at: this.world.time.now })
  }

  numberOf(incarnation: string | undefined): number | undefined {
    return incarnation === undefined ? undefined : this.lives.get(incarnation)
  }

  // ------------------------------------------------------------ the store

  /** After each write that was done. */
  written(key: string, value: Record<string, any>, old: Record<string, any> | undefined): void {
    if (key.startsWith(CONNECTIONS)) return this.connection(key.slice(CONNECTIONS.length), value as Row, old as Row)
    if (PAGE.test(key)) return void (old === undefined && this.isLate(key, value["incarnation"]))
    const instance = /^websocketmanager\/instances\/([^/]+)$/.exec(key)
    if (instance === null || instance[1] === "_index") return
    if (value["status"] === "alive" || value["status"] === "draining") {
      this.lives.set(value["incarnation"], value["pid"] - 1)
    }
    if (value["status"] === "dead" && old?.["status"] !== "dead") {
      const victim = this.numberOf(value["incarnation"])
      const living = victim !== undefined && !this.world.instance(victim).process.dead
      const fence: Fence = {
        at: this.world.time.now,
        incarnation: value["incarnation"],
        by: value["by"],
        reason: value["reason"],
        ofLiving: living,
        stranger: living && !this.world.knows(victim, value["by"])
      }
      this.fences.push(fence)
      this.bump(`fence ${fence.reason} of a ${living ? "living" : "dead"}`)
    }
  }

  /** A key stands where there was none: whether its create was sent before the store was emptied. */
  private isLate(key: string, incarnation = ""): boolean {
    const late = this.emptied.lands(key, incarnation, this.numberOf(incarnation), this.world.time.now)
    if (late) this.bump("a create that was sent before the store was emptied lands after it")
    return late
  }

  private connection(id: string, value: Row, old: Row | undefined): void {
    const highest = this.highest.get(id) ?? -1
    const { epoch = -1 } = value
    if (value.tombstone) {
      this.removed.add(`${id}@${epoch}`)
      return
    }
    if (value.last !== undefined) this.frames.noted(id, value.last)
    const changed =
      old === undefined ||
      old.tombstone === true ||
      old.owner !== value.owner ||
      old.incarnation !== value.incarnation ||
      old.epoch !== epoch
    if (!changed) return this.moves.rewritten(id, value, old)
    const late = old === undefined && this.isLate(CONNECTIONS + id, value.incarnation)
    // the very record that stood there before: a repeated request that was on its way all the time
    if (late && this.owners.get(`${id}@${epoch}`) === value.incarnation) return
    if (epoch <= highest) {
      this.violation(
        old === undefined || old.tombstone ? "P1 an epoch is used again" : "P1 an epoch does not grow",
        `${id}: ${epoch} after ${highest}`
      )
    }
    this.highest.set(id, Math.max(highest, epoch))
    // created anew by one who held it, and not by a caller
    if (old === undefined && this.emptied.wasLost(id) && Date.parse(value.createdAt!) < START + this.emptied.at) {
      this.frames.takenOver(id, epoch, value.owner!, value.last!, false)
    }
    if (old !== undefined && old.tombstone === undefined) {
      this.moves.takenOver(id, value, old)
      this.frames.takenOver(id, epoch, old.owner!, old.last!, old.handover?.incarnation === value.incarnation)
    }
    if (value.incarnation === undefined) return
    this.owners.set(`${id}@${epoch}`, value.incarnation)
    this.given.push({ incarnation: value.incarnation, at: this.world.time.now })
  }

  /** Whether the life that an epoch (`id@epoch`) was given to still has a process. */
  holderLives(key: string): boolean {
    const holder = this.numberOf(this.owners.get(key))
    return holder !== undefined && !this.world.instance(holder).process.dead
  }

  /** How many epochs were given to this instance since. */
  epochsGiven(number: number, since: number): number {
    let count = 0
    for (let i = this.given.length - 1; i >= 0 && this.given[i]!.at >= since; i--) {
      if (this.lives.get(this.given[i]!.incarnation) === number) count++
    }
    return count
  }

  /** How many epochs of this connection were given to anybody. */
  epochsOf(id: string): number {
    return [...this.owners.keys()].filter((key) => key.startsWith(`${id}@`)).length
  }

  /** The store is about to forget everything: what callers were answered before binds nobody any more. */
  wiped(rows: ReadonlyMap<string, Record<string, any>>): void {
    this.emptied.now(this.world.time.now, rows)
    this.callers.forgetAll()
  }

  // ------------------------------------------------------------ sockets and frames

  opened(socket: MemorySocket): void {
    const { epoch, id } = whose(socket)
    this.acts(socket.instance, id, epoch, "opens a socket")
    this.moves.opened(socket)
    for (const other of this.world.cluster.sockets.open) {
      if (other !== socket && whose(other).id === id) this.bump(`overlap: ${this.beside(other, socket) ?? "none"}`)
    }
  }

  /** All sockets that are open now. */
  overlaps(): void {
    const seen = new Map<string, Array<MemorySocket>>()
    for (const socket of this.world.cluster.sockets.open) {
      const { id } = whose(socket)
      const others = seen.get(id)
      if (others === undefined) seen.set(id, [socket])
      else {
        for (const other of others) this.beside(other, socket)
        others.push(socket)
      }
    }
  }

  /** Two sockets of one connection; why they may be there. */
  private beside(one: MemorySocket, other: MemorySocket): string | undefined {
    const [old, young] = whose(one).epoch <= whose(other).epoch ? [one, other] : [other, one]
    const { id, epoch } = whose(old)
    if (old.instance === young.instance && epoch === whose(young).epoch) {
      this.violation("P1 two sockets of one owner", `${id} epoch ${epoch} at ${old.instance}`)
      return undefined
    }
    const [source, target] = [actor(old), actor(young)]
    const excuse = this.excuse(old.instance, id, epoch) ?? this.moves.mayHold(id, source, target, old)
    if (excuse === undefined) {
      this.violation(
        "P1 two sockets of one connection",
        `${id}: epoch ${epoch} at ${old.instance}, epoch ${target.epoch} at ${young.instance}`
      )
    }
    return excuse
  }

  published({ event, instance, topic }: Published): void {
    if (event.kind === "lifecycle") {
      this.moves.lifecycle(event, instance)
      return this.frames.lifecycle(event)
    }
    const frames = event.kind === "frame" ? [event] : event.frames
    for (const frame of frames) {
      const { connectionId: id, epoch } = frame.origin
      this.acts(instance, id, epoch, `publishes on ${topic}`)
      this.besideNewer(instance, id, epoch)
      this.frames.frame(id, epoch, frame.sequence, frame.data.toString())
    }
    const name = (sequence: number) => `${frames[0]!.origin.connectionId}:${frames[0]!.origin.epoch}:${sequence}`
    const accepted = new Set(this.consumer.accept(JSON.parse(encode(event))).frames.map(({ sequence }) => sequence))
    for (const { sequence } of frames) {
      if (!accepted.has(sequence) && !this.seen.has(name(sequence))) {
        this.bump("a frame of an old epoch comes late")
      }
      this.seen.add(name(sequence))
    }
  }

  /** An epoch is acted in only by the life that its record was given to. */
  private acts(instance: number, id: string, epoch: number, what: string): void {
    const incarnation = this.owners.get(`${id}@${epoch}`)
    const owner = this.numberOf(incarnation)
    if (owner === instance) return
    this.violation(
      "P1 acts in an epoch that is not its own",
      `${id} epoch ${epoch}: ${instance} ${what}, owner ${owner}`
    )
  }

  private besideNewer(instance: number, id: string, epoch: number): void {
    for (const other of this.world.cluster.sockets.open) {
      const of = whose(other)
      if (of.id !== id || of.epoch <= epoch || other.instance === instance) continue
      // what waits of a connection that was removed on request is still published
      const excuse = this.removed.has(`${id}@${epoch}`)
        ? "removed on request"
        : (this.excuse(instance, id, epoch) ?? this.moves.mayPublish(id, { instance, epoch }, actor(other)))
      this.bump(`publishes beside the new owner: ${excuse ?? "none"}`)
      if (excuse === undefined) {
        this.violation(
          "P1 publishes beside the new owner",
          `${id}: epoch ${epoch} at ${instance}, epoch ${of.epoch} at ${other.instance}`
        )
      }
    }
  }

  /** Why an old owner's socket may still be there: what the architecture says cannot be helped. */
  private excuse(old: number, id: string, epoch: number): string | undefined {
    const { process } = this.world.instance(old)
    if (process.frozen) return "frozen with an open socket"
    if (this.world.time.now - this.world.thawedAt(old) <= 1) return "frozen with an open socket"
    if (this.isForgotten(old, `${id}@${epoch}`)) return "the store came back empty"
    const fence = this.fenceOf(this.owners.get(`${id}@${epoch}`))
    if (this.strange > 0 && fence?.reason === "refused" && fence.ofLiving) return "refused by a strange network"
    if (this.strange > 0 && this.world.refusedOnce(old)) return "its asker believed a strange network"
    if (fence?.stranger && this.world.wasCut(old, this.numberOf(fence.by) ?? -1)) return "fenced by a stranger"
    return undefined
  }

  /** Owned before the store was emptied, by one that may not have seen it yet. */
  private isForgotten(old: number, key: string): boolean {
    const { now } = this.world.time
    const given = this.given.findLast(({ incarnation }) => incarnation === this.owners.get(key))
    const { at } = this.emptied
    if (given === undefined || given.at > at || at === -Infinity) return false
    return now <= Math.max(at, this.world.hindered([old], at) ?? 0) + SEEN_WITHIN
  }

  private isOver(incarnation: string): boolean {
    const number = this.numberOf(incarnation)
    if (number === undefined || this.world.instance(number).process.dead) return true
    return this.world.incarnation(number) !== incarnation
  }

  fenceOf(incarnation: string | undefined): Fence | undefined {
    return this.fences.find((fence) => fence.incarnation === incarnation)
  }

  // ------------------------------------------------------------ after each step, and at the end

  /** What must hold at every moment. */
  always(): void {
    this.overlaps()
    this.held.look()
  }

  /** Whether `settled` would find nothing new. */
  isSettled(): boolean {
    const before = this.found.length
    this.settled()
    return this.found.splice(before).length === 0
  }

  settled(): void {
    const { cluster } = this.world
    const rows = this.world.rows()
    const live = cluster.instances.filter(({ process }) => !process.dead)
    const named = new Map<string, Array<string>>()
    for (const [key, value] of rows) {
      const page = PAGE.exec(key)
      // what landed late, for a life that has ended, names nothing
      if (page === null || (this.emptied.landedLate(key, value["incarnation"]) && this.isOver(value["incarnation"])))
        continue
      for (const id of value["ids"]) named.set(id, [...(named.get(id) ?? []), page[1]!])
    }
    const ids = new Set([
      ...this.callers.ids(),
      ...[...rows.keys()].filter((key) => key.startsWith(CONNECTIONS)).map((key) => key.slice(CONNECTIONS.length))
    ])
    for (const id of ids) this.connectionSettled(id, rows, named)
    for (const [id, pages] of named) {
      if (!rows.has(CONNECTIONS + id)) this.violation("P2 an id for ever without a record", `${id} on ${pages.join()}`)
    }
    const index: Record<string, string> = rows.get(INDEX)?.["ids"] ?? {}
    for (const { id, number } of live) {
      if (!cluster.isReady(number)) continue
      if (!(id in index)) this.violation("P2 a live instance is not in the index", id)
      else if (index[id] !== this.world.incarnation(number)) {
        this.violation("P2 the index names a former life of a live instance", id)
      }
    }
    this.frames.settled()
    this.held.settled()
  }

  private connectionSettled(
    id: string,
    rows: ReadonlyMap<string, Record<string, any>>,
    named: ReadonlyMap<string, ReadonlyArray<string>>
  ): void {
    const { cluster } = this.world
    const row = rows.get(CONNECTIONS + id) as Row | undefined
    const record = row === undefined || row.tombstone ? undefined : row
    const open = [...cluster.sockets.open].filter((socket) => whose(socket).id === id)
    if (this.callers.mustBeUp(id) && record === undefined) this.violation("P2 an answered Connect is lost", id)
    if (this.callers.mustBeDown(id) && record !== undefined) this.violation("P2 removed, and here again", id)
    if (record === undefined) {
      if (open.length > 0) this.violation("P2 open without a record", id)
      return
    }
    const pages = named.get(id) ?? []
    const number = this.numberOf(record.incarnation)
    const owner = number === undefined ? undefined : cluster.instances[number]
    const life = number === undefined ? undefined : this.world.incarnation(number)
    const said = `${id} epoch ${record.epoch} of ${record.owner}, pages ${pages.join() || "none"}`
    if (owner === undefined || owner.process.dead || life !== record.incarnation) {
      // its Connect was not answered, no socket is open for it, and the next who asks for it claims it
      const late = this.emptied.landedLate(CONNECTIONS + id, record.incarnation ?? "")
      if (late && pages.length === 0 && open.length === 0 && !this.callers.mustBeUp(id)) return
      const kind = pages.length > 0 ? "P2 its owner is gone, and nobody claims it" : "P2 a record that no page names"
      return this.violation(kind, said)
    }
    if (!pages.includes(owner.id)) this.violation("P2 a record that no page of its owner names", said)
    const up = record.status !== "CONNECTION_STATUS_FAILED" && record.status !== "CONNECTION_STATUS_DISCONNECTED"
    if (up && open.length !== 1) {
      const which = open.map((s) => `${s.instance} epoch ${whose(s).epoch}`).join(", ") || "none"
      this.violation("P2 not up exactly once", `${said}: ${which}`)
    }
    if (up && open.length === 1 && (open[0]!.instance !== number || whose(open[0]!).epoch !== record.epoch)) {
      this.violation("P2 open elsewhere than its record says", said)
    }
  }
}

/** From the emptying of the store to the end of every life that began before, where nothing hinders it: milliseconds. */
const SEEN_WITHIN = 8_000
const PAGE = /^websocketmanager\/instances\/([^/]+)\/connections\/\d+$/
const INDEX = "websocketmanager/instances/_index"
const actor = (socket: MemorySocket): Actor => ({ instance: socket.instance, epoch: whose(socket).epoch })
