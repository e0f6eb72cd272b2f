/**
 * Promise 3: the frames of an epoch come one after the other, what is left out is reported, and whoever dials again or takes
 * over says from where on.
 */
import type { LifecycleEvent, Position } from "../../src/domain/ConnectionEvent.js"
import type { MemorySocket } from "../../src/testing/MemorySockets.js"
import { whose } from "./Sockets.js"
import type { World } from "./World.js"

/** A frame of one epoch, as the bus saw it. */
interface Stream {
  last: number
  readonly payloads: Set<string>
  readonly missing: Set<number>
}

/** An epoch that began with another owner than the one before. */
interface Takeover {
  readonly from: string
  /** what the record said of the former owner's stream */
  readonly last: Position
  /** the record offered it to the new owner: a planned move, unless that one says `claimed` */
  offered: boolean
  claimed: boolean
  gap: boolean
}

export class Frames {
  private readonly streams = new Map<string, Stream>()
  private readonly counted = new Map<string, number>()
  private readonly reported = new Map<string, number>()
  private readonly takeovers = new Map<string, Takeover>()
  /** epochs in which a socket was open */
  private readonly opened = new Set<string>()
  /** epochs whose next event must be a gap of this cause */
  private readonly owed = new Map<string, "reconnect" | "takeover">()
  private readonly told = new Set<string>()

  constructor(private readonly world: World) {}

  // ------------------------------------------------------------ what the bus took

  frame(id: string, epoch: number, sequence: number, payload: string): void {
    const key = `${id}@${epoch}`
    const stream = this.streams.get(key) ?? { last: 0, payloads: new Set<string>(), missing: new Set<number>() }
    this.streams.set(key, stream)
    if (stream.missing.has(sequence)) {
      this.violation("P3 a frame is behind a later one", `${key} sequence ${sequence} after ${stream.last}`)
    }
    for (let n = stream.last + 1; n < sequence; n++) stream.missing.add(n)
    stream.last = Math.max(stream.last, sequence)
    stream.payloads.add(nameOf(payload))
  }

  lifecycle(event: LifecycleEvent): void {
    // at least once
    if (event.connectionId === "" || this.told.has(event.id)) return
    this.told.add(event.id)
    const { attributes, name } = event
    const key = `${event.connectionId}@${event.epoch}`
    const owed = this.owed.get(key)
    if (owed !== undefined) {
      this.owed.delete(key)
      if (name !== "gap" || attributes["cause"] !== owed) {
        this.violation(`P3 no gap after a ${owed}`, `${key}: ${name} comes after connected`)
      }
    }
    if (name === "gap") this.gap(key, attributes)
    else if (name === "claimed") this.claimed(key, attributes)
    else if (name === "connected") {
      if (this.opened.has(key)) this.owed.set(key, "reconnect")
      else if (this.takeovers.get(key)?.offered === false) this.owed.set(key, "takeover")
      this.opened.add(key)
    }
  }

  private claimed(key: string, { from, reason }: LifecycleEvent["attributes"]): void {
    this.world.check.bump(`claimed, ${reason}`)
    const takeover = this.takeovers.get(key)
    if (takeover === undefined) return this.violation("P1 claimed, and not by the record", `${key} from ${from}`)
    takeover.claimed = true
    takeover.offered = false
    if (takeover.from !== from) this.violation("P3 claimed from another", `${key}: ${from}, not ${takeover.from}`)
  }

  private gap(key: string, attributes: LifecycleEvent["attributes"]): void {
    const lost = attributes["lost"] === "unknown" ? Infinity : Number(attributes["lost"])
    // one of unknown size is what no socket received: nothing of this one
    if (Number.isFinite(lost)) this.counted.set(key, (this.counted.get(key) ?? 0) + lost)
    if (!Number.isNaN(lost)) this.reported.set(key, (this.reported.get(key) ?? 0) + lost)
    this.world.check.bump(`gap ${attributes["cause"]}`)
    const takeover = this.takeovers.get(key)
    if (takeover === undefined || takeover.offered || attributes["cause"] !== "takeover") return
    takeover.gap = true
    const said = `${attributes["lastepoch"]}:${attributes["lastsequence"]}`
    const known = `${takeover.last.epoch}:${takeover.last.sequence}`
    if (said !== known) this.violation("P3 a gap from elsewhere than last known", `${key}: ${said}, known ${known}`)
  }

  // ------------------------------------------------------------ what the store took

  takenOver(id: string, epoch: number, from: string, last: Position, offered: boolean): void {
    this.takeovers.set(`${id}@${epoch}`, { from, last, offered, claimed: false, gap: false })
  }

  /** A record says up to where its owner has published: never further than the bus has seen. */
  noted(id: string, { epoch, sequence }: Position): void {
    const seen = this.streams.get(`${id}@${epoch}`)?.last ?? 0
    if (sequence > seen) {
      this.violation("P3 noted as published, and was not", `${id}@${epoch}: ${sequence}, the bus has seen ${seen}`)
    }
  }

  // ------------------------------------------------------------ at the end

  settled(): void {
    for (const [key, { last, missing }] of this.streams) {
      const reported = this.reported.get(key) ?? 0
      if (this.world.check.holderLives(key) && missing.size > reported) {
        this.violation("P3 lost and not reported", `${key}: ${missing.size} of ${last} missing, ${reported} reported`)
      }
    }
    for (const socket of this.world.cluster.sockets.open) {
      const { epoch, id } = whose(socket)
      const key = `${id}@${epoch}`
      const lost = this.unpublished(socket, 3_000)
      const reported = this.counted.get(key) ?? 0
      if (lost.length > reported) {
        this.violation("P3 received and not published", `${key}: ${lost.length} frames, ${reported} reported`)
      }
      const takeover = this.takeovers.get(key)
      if (takeover === undefined || takeover.offered) continue
      if (!takeover.claimed) this.violation("P3 taken over, and nobody was told", key)
      if (!takeover.gap) this.violation("P3 no gap after a takeover", `${key}, of ${takeover.from}`)
    }
  }

  /** What the server sent longer ago than that, and the bus has not seen. */
  unpublished(socket: MemorySocket, ms: number): ReadonlyArray<string> {
    const { epoch, id } = whose(socket)
    const published = this.streams.get(`${id}@${epoch}`)?.payloads
    return this.world.sentOn(socket, ms).filter((name) => published?.has(name) !== true)
  }

  private violation(kind: string, text: string): void {
    this.world.check.violation(kind, text)
  }
}

/** The first word of a frame is its own. */
const nameOf = (payload: string): string => {
  const end = payload.indexOf(" ")
  return end < 0 ? payload : payload.slice(0, end)
}
