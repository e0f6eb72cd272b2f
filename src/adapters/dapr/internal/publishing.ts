/**
 * One batch on its way through the sidecar: its requests one after the other, by one deadline. Where a whole request of
 * several is refused for good, its events go singly, in order, because one that the sidecar cannot take fails them all.
 */
import * as Effect from "effect/Effect"
import type { Dispatcher } from "undici"
import { PubSubUnavailable } from "../../../domain/Errors.js"
import type { PublishFailure } from "../../../ports/PubSub.js"
import { type Answer, post } from "./exchange.js"
import type { Outcomes } from "./outcomes.js"
import { bulkBody, type Request } from "./requests.js"
import { verdictOf } from "./verdict.js"

export interface PublishingHost {
  readonly http: Dispatcher
  readonly headers: Readonly<Record<string, string>>
  readonly bulkHeaders: Readonly<Record<string, string>>
  /** milliseconds for the batch */
  readonly patience: number
  readonly outcomes: Outcomes
}

type Outcome = Effect.Effect<ReadonlyArray<PublishFailure>, PubSubUnavailable>

export class Publishing {
  private readonly waiting: Array<Request>
  private readonly timer: ReturnType<typeof setTimeout>
  private current: Request | undefined
  private abandon: (() => void) | undefined
  /** something was said of an event: it was taken, or refused for good */
  private known: boolean
  private sent = false

  constructor(
    private readonly host: PublishingHost,
    private readonly paths: { readonly single: string; readonly bulk: string },
    requests: ReadonlyArray<Request>,
    private readonly failures: Array<PublishFailure>,
    private readonly resume: (outcome: Outcome) => void
  ) {
    this.waiting = [...requests]
    this.known = failures.length > 0
    this.timer = setTimeout(() => this.late(), host.patience)
    this.next()
  }

  /** Nobody waits for it any more. What was sent may still be published. */
  readonly giveUp = (): void => {
    clearTimeout(this.timer)
    this.abandon?.()
  }

  private next(): void {
    const request = this.waiting.shift()
    this.current = request
    if (request === undefined) return this.end()
    const { headers, bulkHeaders, http } = this.host
    const alone = request.events.length === 1
    this.abandon = post(
      http,
      alone
        ? { path: this.paths.single, headers, body: request.events[0]! }
        : { path: this.paths.bulk, headers: bulkHeaders, body: bulkBody(request.events) },
      (answer) => this.answered(request, answer)
    )
  }

  private answered(request: Request, answer: Answer): void {
    const { indices } = request
    const verdict = verdictOf(answer, indices.length)
    switch (verdict._tag) {
      case "taken":
        this.known = true
        this.host.outcomes.succeeded()
        return this.next()
      case "entries": {
        this.known = true
        for (const { index, transient, reason } of verdict.failures) this.fail(indices[index]!, transient, reason)
        if (verdict.failures.length < indices.length) this.host.outcomes.succeeded()
        const transient = verdict.failures.find((failure) => failure.transient)
        if (transient !== undefined) this.host.outcomes.failed(transient.reason)
        return this.next()
      }
      case "refused":
        this.known = true
        if (indices.length === 1 || verdict.all) for (const index of indices) this.fail(index, false, verdict.reason)
        else this.waiting.unshift(...singly(request))
        return this.next()
      case "failed":
        this.sent ||= verdict.sent
        return this.stop(verdict.reason)
    }
  }

  /** The sidecar, or the way to it, does not work: what has not been answered for is not tried now. */
  private stop(reason: string): void {
    this.host.outcomes.failed(reason)
    if (!this.known) {
      clearTimeout(this.timer)
      const error = { reason, ...(this.sent ? { outcome: "unknown" as const } : {}) }
      return this.resume(Effect.fail(new PubSubUnavailable(error)))
    }
    for (const { indices } of [this.current!, ...this.waiting]) {
      for (const index of indices) this.fail(index, true, reason)
    }
    this.end()
  }

  private late(): void {
    this.abandon?.()
    this.sent = true
    this.stop(`no answer within ${this.host.patience / 1000} s`)
  }

  private fail(index: number, transient: boolean, reason: string): void {
    this.failures.push({ index, transient, reason })
  }

  private end(): void {
    clearTimeout(this.timer)
    this.resume(Effect.succeed(this.failures))
  }
}

const singly = ({ events, indices }: Request): ReadonlyArray<Request> =>
  events.map((event, i) => ({ events: [event], indices: [indices[i]!] }))
