/** To the log: when a topic begins to fail, when it is well again, and, once a second, what will never be taken. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { PubSubUnavailable } from "../../domain/Errors.js"
import type { PublishExit } from "../../ports/PubSub.js"
import { REQUEST_MILLIS } from "./InFlight.js"
import type { RunFork } from "./Timer.js"

const REFUSALS_EVERY_MILLIS = 1000

export class TopicHealth {
  /** The latest publish failed, or a part of it. */
  failing = false
  private refusalToldAt = -Infinity

  constructor(
    private readonly topic: string,
    private readonly runFork: RunFork
  ) {}

  /** What publishing threw: it is this topic's alone, and goes on with what comes next. */
  failed(defect: unknown): void {
    this.runFork(Effect.logError(`publishing to topic ${this.topic} met a defect`, Cause.die(defect)))
  }

  /** What became of a publish; of one without failures only needed while `failing`. */
  heard(exit: PublishExit, now: number): void {
    const failures = Exit.isSuccess(exit) ? exit.value : undefined
    const refused = failures?.find((failure) => !failure.transient)
    if (refused !== undefined && now >= this.refusalToldAt + REFUSALS_EVERY_MILLIS) {
      this.refusalToldAt = now
      this.runFork(Effect.logWarning(`an event for topic ${this.topic} is refused and dropped: ${refused.reason}`))
    }
    const failing = failures === undefined || failures.some((failure) => failure.transient)
    if (failing === this.failing) return
    this.failing = failing
    const reason = Exit.isFailure(exit) ? messageOf(exit.cause) : exit.value.find(({ transient }) => transient)?.reason
    this.runFork(
      failing
        ? Effect.logWarning(
            `publishing to topic ${this.topic} fails and is repeated: ${reason ?? "for no reason given"}`
          )
        : Effect.logInfo(`publishing to topic ${this.topic} is well again`)
    )
  }
}

/** One line for the operator. An outage is no defect, so a trace would be of no use. */
const messageOf = (cause: Cause.Cause<PubSubUnavailable>): string =>
  Cause.isInterruptedOnly(cause)
    ? `no answer within ${REQUEST_MILLIS / 1000} s`
    : Option.match(Cause.failureOption(cause), { onNone: () => Cause.pretty(cause), onSome: ({ message }) => message })
