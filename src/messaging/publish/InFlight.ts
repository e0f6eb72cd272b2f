/** The requests of one topic that have no answer yet. Each is told of once: by its answer, or because it took too long. */
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { Publish, PublishExit, PubSub } from "../../ports/PubSub.js"
import type { Batch } from "./Source.js"
import type { RunFork, Timer } from "./Timer.js"

/** An adapter ends its requests by itself; this is for one that does not. */
export const REQUEST_MILLIS = 60_000

interface Request {
  readonly batch: Batch
  giveUp: () => void
}

export class InFlight {
  private readonly open = new Set<Request>()
  private readonly publish: Publish
  private readonly start: NonNullable<Publish["start"]>

  constructor(
    private readonly topic: string,
    pubsub: PubSub["Type"],
    runFork: RunFork,
    private readonly alarm: Timer,
    private readonly answered: (batch: Batch, exit: PublishExit) => void
  ) {
    this.publish = pubsub.publish
    this.start = pubsub.publish.start ?? inFibers(pubsub.publish, runFork)
  }

  send(batch: Batch): void {
    const failures = this.publish.now?.(this.topic, batch.events)
    if (failures !== undefined)
      return this.answered(batch, failures.length === 0 ? NONE_FAILED : Exit.succeed(failures))
    const request: Request = { batch, giveUp: noCancel }
    this.open.add(request)
    request.giveUp = this.start(this.topic, batch.events, (exit) => {
      if (this.open.delete(request)) this.answered(batch, exit)
    })
    if (this.open.has(request)) this.alarm.set(batch.startedAt + REQUEST_MILLIS)
  }

  /** Ends what has taken too long; when the next one will have, Infinity where there is none. */
  sweep(now: number): number {
    let next = Infinity
    for (const { batch, giveUp } of this.open) {
      const end = batch.startedAt + REQUEST_MILLIS
      if (end <= now) giveUp()
      else next = Math.min(next, end)
    }
    return next
  }

  /** Gives all of them up, and tells of none. */
  close(): void {
    const open = [...this.open]
    this.open.clear()
    for (const { giveUp } of open) giveUp()
  }
}

/** For an adapter that knows nothing but the effect. */
const inFibers =
  (publish: Publish, runFork: RunFork): NonNullable<Publish["start"]> =>
  (topic, batch, done) => {
    const fiber = runFork(publish(topic, batch))
    fiber.addObserver(done)
    return () => fiber.unsafeInterruptAsFork(FiberId.none)
  }

const NONE_FAILED: PublishExit = Exit.succeed([])
const noCancel = (): void => {}
