/**
 * Answers to pings: one is on its way at most, and one waits behind it. Of more pings the last one is answered, which
 * answers those before it too (RFC 6455, 5.5.3). So any number of pings costs no more than this, however long either side
 * had to wait.
 */
import { WebSocket } from "ws"
import { guard, type Guarded } from "../../common/CallbackGuard.js"

const EMPTY_PAYLOAD = Buffer.alloc(0)

export class Pongs {
  private isSending = false
  private waiting: Buffer | undefined

  constructor(
    private readonly ws: WebSocket,
    private readonly owner: Guarded
  ) {}

  /** A ping came; `data` is a view into what was read. */
  answer(data: Buffer): void {
    if (this.isSending) this.waiting = data.length === 0 ? EMPTY_PAYLOAD : Buffer.from(data)
    else this.send(data)
  }

  private send(data: Buffer): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.isSending = true
    this.ws.pong(
      data,
      undefined,
      guard(this.owner, () => this.sent())
    )
  }

  /** The answer has gone to the kernel, or never will. */
  private sent(): void {
    this.isSending = false
    const { waiting } = this
    this.waiting = undefined
    if (waiting !== undefined) this.send(waiting)
  }
}
