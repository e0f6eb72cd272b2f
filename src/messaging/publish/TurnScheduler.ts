import { whenCallbackEnds, whenTurnEnds } from "../../common/CallbackGuard.js"

/**
 * When a topic's queue sends. That is at the end of the turn of the event loop, once the present callback is done, or from
 * within an answer. One sending comes after the other, never inside another.
 */
export class TurnScheduler {
  private scheduled = false
  private hurried = false
  private running = false

  /** @param failed told of what `send` threw: it is called by node, and what it throws would end the process */
  constructor(
    private readonly send: () => void,
    private readonly failed: (defect: unknown) => void
  ) {}

  /** At the end of the turn: what this turn brings goes together. */
  schedule(): void {
    if (this.scheduled || this.running) return
    this.scheduled = true
    whenTurnEnds(this.endOfTurn)
  }

  /** Once the present callback is done: more would only be held longer. */
  hurry(): void {
    if (this.hurried || this.running) return
    this.hurried = true
    whenCallbackEnds(this.hurriedTo)
  }

  /** Does this and sends then; what is done while it sends is part of that. */
  after(first: () => void): void {
    if (this.running) return first()
    this.running = true
    try {
      first()
      this.send()
    } catch (defect) {
      this.failed(defect)
    } finally {
      this.running = false
    }
  }

  private readonly endOfTurn = (): void => {
    this.scheduled = false
    this.after(noTurn)
  }

  private readonly hurriedTo = (): void => {
    this.hurried = false
    this.after(noTurn)
  }
}

const noTurn = (): void => {}
