/**
 * The judge of the promise "in order, at least once, nothing dropped silently": compares what peers sent with what reached
 * the topics and with what gap events reported. What counts as in order is the consumers' own `acceptInOrder`.
 *
 * ```ts
 * const accounting = new Accounting()
 * accounting.sent(id, "frame 1")             // in the order of sending
 * accounting.received(event)                 // in the order of arrival: a TopicEvent, or a CloudEvent as JSON
 * expect(accounting.problems()).toEqual([])
 * ```
 */
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { encode } from "../../src/domain/CloudEvent.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import type { TopicEvent } from "../../src/ports/PubSub.js"

interface Arrival {
  readonly epoch: number
  readonly sequence: number
  readonly data: Buffer
  /** a consumer takes it */
  readonly accepted: boolean
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
  private readonly inOrder = acceptInOrder()

  constructor(private readonly options: AccountingOptions = {}) {}

  /** The peer of a connection sent this. */
  sent(connectionId: string, payload: string | Uint8Array): void {
    this.account(connectionId).sent.push(Buffer.from(payload as string))
  }

  /**
   * This reached a topic, as the event itself, its JSON, or an object as a subscriber gets it; gap events count as reports,
   * other lifecycle events for nothing.
   */
  received(event: TopicEvent | string | object): void {
    const published = typeof event === "object" && "kind" in event ? encode(event as TopicEvent) : event
    const given = typeof published === "string" ? (JSON.parse(published) as object) : published
    const read = readEvent(given)
    if (read?.kind === "gap") this.gap(read.connectionId, read.lost)
    if (read?.kind !== "frames") return
    const accepted = new Set(this.inOrder.accept(given).frames.map(({ sequence }) => sequence))
    const { arrivals } = this.account(read.connectionId)
    for (const { data, sequence } of read.frames) {
      arrivals.push({ epoch: read.epoch, sequence, data: Buffer.from(data), accepted: accepted.has(sequence) })
    }
  }

  /** A gap was reported: so many frames, or `unknown`. */
  gap(connectionId: string, lost: number | string): void {
    const account = this.account(connectionId)
    if (lost === "unknown") account.unknown = true
    else account.lost += Number(lost)
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

  /** What a consumer does not take has been there before. */
  private order({ arrivals }: Account): ReadonlyArray<string> {
    const seen = new Set<string>()
    return arrivals.flatMap((arrival, i) => {
      const name = nameOf(arrival)
      const late = !arrival.accepted && !seen.has(name)
      seen.add(name)
      if (!late) return []
      const before = arrivals.slice(0, i).filter((a) => isAfter(a, arrival))
      const repeated = before.every((a) => arrivals.slice(i).some((b) => nameOf(b) === nameOf(a)))
      if (this.options.behindRepeats === true && repeated) return []
      return [`${name} arrived behind ${nameOf(before.findLast((a) => a.accepted)!)}`]
    })
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
