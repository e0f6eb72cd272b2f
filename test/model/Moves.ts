/**
 * Planned moves, as the store and the sockets tell of them: which two may have a socket at once, and how long. Only source and
 * target of one offer, only where the connection asks for make before break, and only the socket that stood when it was
 * offered; from the target's claim until the source has heard of it, or cannot have heard and its patience is over.
 */
import type { LifecycleEvent } from "../../src/domain/ConnectionEvent.js"
import type { MemorySocket } from "../../src/testing/MemorySockets.js"
import type { Row } from "./Checker.js"
import { whose } from "./Sockets.js"
import type { World } from "./World.js"

/** From the target's open socket to the end of the source's, where nothing stands between the two: milliseconds. */
const HEARD_WITHIN = 3_000
/** How long a source waits for the target's word, and what it then needs to ask the store. */
const PATIENCE = 20_000
const SETTLED_WITHIN = 8_000
/** What a source still publishes once its socket is closed; a batch that is on its way then. */
const PUBLISHED_WITHIN = 4_000
/** From a fence to the end of the socket of whoever waits for the victim's word: it must read of it first. */
const FENCE_HEARD_WITHIN = 5_000

interface Move {
  readonly id: string
  readonly epoch: number
  /** incarnations */
  readonly source: string
  readonly target: string
  readonly offeredAt: number
  /** make before break: what was open then; undefined: nothing may be, once it is claimed */
  readonly socket: MemorySocket | undefined
  claimed: { readonly epoch: number; readonly at: number } | undefined
  /** since when the target has a socket */
  openAt: number | undefined
  /** since when the source says that it is moved */
  saidAt: number | undefined
}

/** Who acts, beside whom. */
export interface Actor {
  readonly instance: number
  readonly epoch: number
}

export class Moves {
  /** the latest of each epoch that was offered, `id@epoch` */
  private readonly moves = new Map<string, Move>()

  constructor(private readonly world: World) {}

  // ------------------------------------------------------------ what the store took

  /** A record of the same owner and epoch as before. */
  rewritten(id: string, value: Row, old: Row): void {
    const { epoch = -1, handover, incarnation = "" } = value
    const key = `${id}@${epoch}`
    if (handover?.incarnation === old.handover?.incarnation) return
    this.moves.delete(key)
    if (handover === undefined) return
    const overlap = value.spec?.handover === "HANDOVER_MAKE_BEFORE_BREAK"
    this.world.check.bump(`offered, ${overlap ? "make before break" : "break before make"}`)
    const source = this.world.check.numberOf(incarnation)
    this.moves.set(key, {
      id,
      epoch,
      source: incarnation,
      target: handover.incarnation,
      offeredAt: this.world.time.now,
      socket: overlap ? [...this.world.cluster.sockets.open].find((s) => isOf(s, id, epoch, source)) : undefined,
      claimed: undefined,
      openAt: undefined,
      saidAt: undefined
    })
  }

  /** A record of another owner than before, with a higher epoch. */
  takenOver(id: string, value: Row, old: Row): void {
    const move = this.moves.get(`${id}@${old.epoch}`)
    if (move === undefined || move.target !== value.incarnation || old.handover?.incarnation !== move.target) return
    move.claimed = { epoch: value.epoch!, at: this.world.time.now }
    this.world.check.bump(`moved, ${move.socket === undefined ? "break before make" : "make before break"}`)
  }

  // ------------------------------------------------------------ what the sockets and the bus took

  opened(socket: MemorySocket): void {
    const { epoch, id } = whose(socket)
    for (const move of this.moves.values()) {
      if (move.id !== id || move.claimed?.epoch !== epoch) continue
      move.openAt ??= this.world.time.now
      const look = () => this.world.check.overlaps()
      if (move.socket?.isOpen === true) this.world.time.after(HEARD_WITHIN + 1, look)
    }
  }

  lifecycle({ attributes, connectionId, epoch, name }: LifecycleEvent, instance: number): void {
    const move = this.moves.get(`${connectionId}@${epoch}`)
    if (move?.claimed === undefined || name !== "migrated" || attributes["migrateto"] === this.idOf(instance)) return
    move.saidAt ??= this.world.time.now
    for (const socket of this.world.cluster.sockets.open) {
      if (!isOf(socket, connectionId, epoch, instance)) continue
      this.world.check.violation("P1 says that it is moved, and has a socket", `${connectionId} epoch ${epoch}`)
    }
  }

  // ------------------------------------------------------------ what is excused

  /** Why `old` may have this socket beside that of `young`. */
  mayHold(id: string, old: Actor, young: Actor, socket: MemorySocket): string | undefined {
    const move = this.standing(id, old, young)
    if (move === undefined || move.socket !== socket || this.world.time.now > this.closedBy(move, young))
      return undefined
    return move.claimed?.epoch === young.epoch ? "make before break" : "make before break, and its target died"
  }

  /** Why `old` may publish what it has read while `young` has a socket: the last of it, in either mode. */
  mayPublish(id: string, old: Actor, young: Actor): string | undefined {
    const move = this.standing(id, old, young) ?? this.movedOn(id, old, young)
    if (move === undefined) return undefined
    const { now } = this.world.time
    if (move.saidAt !== undefined && now > move.saidAt + 1_000) return undefined
    return now <= this.closedBy(move, young) + PUBLISHED_WITHIN ? "moved, and not all was published" : undefined
  }

  /** The move from the one to the other, or to whoever took over from the target; none once the source was fenced. */
  private standing(id: string, old: Actor, young: Actor): Move | undefined {
    const { check } = this.world
    const move = this.moves.get(`${id}@${old.epoch}`)
    if (move?.claimed === undefined || check.numberOf(move.source) !== old.instance) return undefined
    if (check.fenceOf(move.source) !== undefined) return undefined
    if (move.claimed.epoch !== young.epoch) return check.fenceOf(move.target) === undefined ? undefined : move
    return check.numberOf(move.target) === young.instance ? move : undefined
  }

  /** The move of the one, where the other has it from its target, by one planned move after the other; nobody was fenced. */
  private movedOn(id: string, old: Actor, young: Actor): Move | undefined {
    const { check } = this.world
    const of = (epoch: number) => {
      const move = this.moves.get(`${id}@${epoch}`)
      return move?.claimed === undefined || check.fenceOf(move.source) !== undefined ? undefined : move
    }
    const first = of(old.epoch)
    if (first === undefined || check.numberOf(first.source) !== old.instance) return undefined
    for (let move: Move | undefined = first; move !== undefined; move = of(move.claimed!.epoch)) {
      if (move.claimed!.epoch === young.epoch) return check.numberOf(move.target) === young.instance ? first : undefined
    }
    return undefined
  }

  /** The latest that the source's socket is open. */
  private closedBy(move: Move, young: Actor): number {
    const { check, time } = this.world
    const ends = [check.numberOf(move.source)!, check.numberOf(move.target)!]
    const hindered = this.world.hindered(ends, move.offeredAt)
    const fence = check.fenceOf(move.target)
    if (move.claimed!.epoch !== young.epoch && fence !== undefined && hindered === undefined) {
      return fence.at + FENCE_HEARD_WITHIN
    }
    const openAt = move.openAt ?? time.now
    if (hindered === undefined && fence === undefined && openAt < move.offeredAt + PATIENCE - HEARD_WITHIN) {
      return openAt + HEARD_WITHIN
    }
    return Math.max(move.offeredAt, hindered ?? 0, fence?.at ?? 0) + PATIENCE + SETTLED_WITHIN
  }

  private idOf(instance: number): string {
    return this.world.instance(instance).id
  }
}

const isOf = (socket: MemorySocket, id: string, epoch: number, instance: number | undefined): boolean => {
  const of = whose(socket)
  return of.id === id && of.epoch === epoch && socket.instance === instance
}
