/**
 * The judge of the promise "in order, at least once, nothing dropped silently": compares what peers sent with what reached
 * the topics and with what gap events reported.
 *
 * ```ts
 * const accounting = new Accounting()
 * accounting.sent(id, "frame 1")             // in the order of sending
 * accounting.received(event)                 // in the order of arrival: a TopicEvent, or a CloudEvent as JSON
 * expect(accounting.problems()).toEqual([])
 * ```
 */
import type { TopicEvent } from "../../src/ports/PubSub.js"

interface Arrival {
  readonly connectionId: string
  readonly epoch: number
  readonly sequence: number
  readonly data: Buffer
}

class Account {
  readonly sent: Array<Buffer> = []
  readonly arrivals: Array<Arrival> = []
  lost = 0
  unknown = false
}

export interface AccountingOptions {
  /**
   * Whether a frame may arrive for the first time behind a later one, as long as the later one is then repeated behind it:
   * a bus that took part of a batch. A consumer that drops by (epoch, sequence) does not see such a frame.
   */
  readonly behindRepeats?: boolean
}

export class Accounting {
  private readonly accounts = new Map<string, Account>()

  constructor(private readonly options: AccountingOptions = {}) {}

  /** The peer of a connection sent this. */
  sent(connectionId: string, payload: string | Uint8Array): void {
    this.account(connectionId).sent.push(Buffer.from(payload as string))
  }

  /** This reached a topic; gap events count as reports, other lifecycle events for nothing. */
  received(event: TopicEvent | string): void {
    if (typeof event === "string") this.receivedJson(JSON.parse(event) as Record<string, unknown>)
    else if (event.kind === "lifecycle") {
      if (event.name === "gap") this.gap(event.connectionId, event.attributes["lost"]!)
    } else {
      const frames = event.kind === "frame" ? [event] : event.frames
      for (const { data, origin, sequence } of frames) {
        this.arrived({ connectionId: origin.connectionId, epoch: origin.epoch, sequence, data })
      }
    }
  }

  /** A gap was reported: so many frames, or `unknown`. */
  gap(connectionId: string, lost: number | string): void {
    const account = this.account(connectionId)
    if (lost === "unknown") account.unknown = true
    else account.lost += Number(lost)
  }

  /** Frames of a connection that a consumer accepts, first to last: those with an (epoch, sequence) above all before. */
  accepted(connectionId: string): ReadonlyArray<Arrival> {
    let last: Arrival | undefined
    return this.account(connectionId).arrivals.filter((arrival) => {
      if (last !== undefined && !isAfter(arrival, last)) return false
      last = arrival
      return true
    })
  }

  /** Everything that is not as promised, one line each. */
  problems(): ReadonlyArray<string> {
    return [...this.accounts].flatMap(([id, account]) =>
      [...this.order(account), ...this.content(account), ...this.completeness(account)].map((p) => `${id}: ${p}`)
    )
  }

  private account(connectionId: string): Account {
    const account = this.accounts.get(connectionId) ?? new Account()
    this.accounts.set(connectionId, account)
    return account
  }

  private arrived(arrival: Arrival): void {
    this.account(arrival.connectionId).arrivals.push(arrival)
  }

  private receivedJson(event: Record<string, unknown>): void {
    const connectionId = String(event["connectionid"])
    const epoch = Number(event["epoch"])
    if (event["type"] === "websocketmanager.gap") this.gap(connectionId, String(event["lost"]))
    if (event["type"] === "websocketmanager.frame") {
      const data = bytesOf(event["data"], event["data_base64"])
      this.arrived({ connectionId, epoch, sequence: Number(event["sequence"]), data })
    }
    if (event["type"] === "websocketmanager.frames") {
      for (const { base64, s, text } of event["data"] as ReadonlyArray<{ s: number; text?: string; base64?: string }>) {
        this.arrived({ connectionId, epoch, sequence: s, data: bytesOf(text, base64) })
      }
    }
  }

  private order({ arrivals }: Account): ReadonlyArray<string> {
    const problems: Array<string> = []
    const seen = new Set<string>()
    let last: Arrival | undefined
    for (const [i, arrival] of arrivals.entries()) {
      const name = nameOf(arrival)
      if (last !== undefined && !seen.has(name) && !isAfter(arrival, last)) {
        const before = arrivals.slice(0, i).filter((a) => isAfter(a, arrival))
        const repeated = before.every((a) => arrivals.slice(i).some((b) => nameOf(b) === nameOf(a)))
        if (this.options.behindRepeats !== true || !repeated) problems.push(`${name} arrived behind ${nameOf(last)}`)
      }
      seen.add(name)
      if (last === undefined || isAfter(arrival, last)) last = arrival
    }
    return problems
  }

  private content({ arrivals }: Account): ReadonlyArray<string> {
    const first = new Map<string, Buffer>()
    return arrivals.flatMap((arrival) => {
      const name = nameOf(arrival)
      const before = first.get(name)
      if (before === undefined) first.set(name, arrival.data)
      return before === undefined || before.equals(arrival.data) ? [] : [`${name} was repeated with other bytes`]
    })
  }

  /** What arrived, in the order of (epoch, sequence), is what was sent, less what was reported lost. */
  private completeness({ arrivals, lost, sent, unknown }: Account): ReadonlyArray<string> {
    const distinct = [...new Map(arrivals.map((a) => [nameOf(a), a])).values()].sort((a, b) => (isAfter(a, b) ? 1 : -1))
    let at = 0
    for (const arrival of distinct) {
      while (at < sent.length && !sent[at]!.equals(arrival.data)) at++
      if (at === sent.length) return [`${nameOf(arrival)} is not what the peer sent next: ${shown(arrival.data)}`]
      at++
    }
    const missing = sent.length - distinct.length
    if (unknown || missing === lost) return []
    return [`${missing} of ${sent.length} frames are missing, and ${lost} were reported lost`]
  }
}

const isAfter = (a: Arrival, b: Arrival): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence)
const nameOf = ({ epoch, sequence }: Arrival): string => `${epoch}:${sequence}`
const shown = (data: Buffer): string => JSON.stringify(data.toString("utf8").slice(0, 60))
const bytesOf = (text: unknown, base64: unknown): Buffer =>
  typeof base64 === "string" ? Buffer.from(base64, "base64") : Buffer.from(text as string)
