/**
 * One batch on its way through the sidecar: its requests one after the other, by one deadline. Where a whole request of
 * several is refused for good, its events go singly, in order. In one request, an event that the sidecar cannot take fails
 * all the others.
 */
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { DeadlineQueue, Pending } from "../../../common/DeadlineQueue.js"
import { PubSubUnavailable } from "../../../domain/Errors.js"
import type { PublishExit, PublishFailure } from "../../../ports/PubSub.js"
import { bulkBody, type Request } from "./BulkRequests.js"
import type { Answer, PostPool } from "./PostPool.js"
import type { PublishHealth } from "./PublishHealth.js"
import { outcomeOf } from "./PublishResponse.js"

export interface PublishContext {
  readonly posts: PostPool
  /** names and values in turn */
  readonly headers: ReadonlyArray<string>
  readonly bulkHeaders: ReadonlyArray<string>
  /** for the whole batch */
  readonly deadlines: DeadlineQueue
  readonly outcomes: PublishHealth
}

export class PublishBatch implements Pending {
  endsAt = 0
  private readonly waiting: Array<Request>
  private current: Request | undefined
  private abandon: (() => void) | undefined
  /** the sidecar has said something of an event: it was taken, or refused for good */
  private known: boolean
  private sent = false
  private ended = false

  constructor(
    private readonly host: PublishContext,
    private readonly paths: { readonly single: string; readonly bulk: string },
    requests: ReadonlyArray<Request>,
    private readonly failures: Array<PublishFailure>,
    private readonly done: (exit: PublishExit) => void
  ) {
    this.waiting = [...requests]
    this.known = failures.length > 0
    host.deadlines.add(this)
    this.next()
  }

  /** Its caller no longer waits. What was sent may still be published. */
  readonly giveUp = (): void => {
    if (this.ended) return
    this.abandon?.()
    this.tell(INTERRUPTED)
  }

  private next(): void {
    const request = this.waiting.shift()
    this.current = request
    if (request === undefined) return this.end()
    const { bulkHeaders, headers, posts } = this.host
    const alone = request.events.length === 1
    this.abandon = posts.send(
      alone
        ? { path: this.paths.single, headers, body: request.events[0]! }
        : { path: this.paths.bulk, headers: bulkHeaders, body: bulkBody(request.events) },
      (answer) => this.answered(request, answer)
    )
  }

  private answered(request: Request, answer: Answer): void {
    const { indices } = request
    const verdict = outcomeOf(answer, indices.length)
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

  /** The sidecar, or the way to it, does not work: events without an answer so far are not tried now. */
  private stop(reason: string): void {
    this.host.outcomes.failed(reason)
    if (!this.known) {
      const error = { reason, ...(this.sent ? { outcome: "unknown" as const } : {}) }
      return this.tell(Exit.fail(new PubSubUnavailable(error)))
    }
    for (const { indices } of [this.current!, ...this.waiting]) {
      for (const index of indices) this.fail(index, true, reason)
    }
    this.end()
  }

  late(): void {
    this.abandon?.()
    this.sent = true
    this.stop(`no answer within ${this.host.deadlines.patience / 1000} s`)
  }

  private fail(index: number, transient: boolean, reason: string): void {
    this.failures.push({ index, transient, reason })
  }

  private end(): void {
    this.tell(this.failures.length === 0 ? NONE_FAILED : Exit.succeed(this.failures))
  }

  private tell(exit: PublishExit): void {
    this.ended = true
    this.host.deadlines.remove(this)
    this.done(exit)
  }
}

const NONE_FAILED: PublishExit = Exit.succeed([])
const INTERRUPTED: PublishExit = Exit.interrupt(FiberId.none)

const singly = ({ events, indices }: Request): ReadonlyArray<Request> =>
  events.map((event, i) => ({ events: [event], indices: [indices[i]!] }))
