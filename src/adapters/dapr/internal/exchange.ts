/** One POST over HTTP/1.1, told to a callback: what a publish needs of undici, without a promise or a stream for each. */
import type { Dispatcher } from "undici"

/** Either an answer, or why there was none. */
export interface Answer {
  /** 0: there was no answer */
  readonly status: number
  /** the document, or the reason in words */
  readonly body: string
  /** false: it surely never reached the sidecar */
  readonly sent: boolean
}

export interface Post {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** Sends it; `answered` is called once, unless the returned function was called first, which gives it up. */
export const post = (http: Dispatcher, request: Post, answered: (answer: Answer) => void): (() => void) => {
  const exchange = new Exchange(answered)
  http.dispatch({ ...request, method: "POST" }, exchange)
  return exchange.giveUp
}

class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined
  private done = false
  private status = 0
  private chunks: Array<Buffer> | undefined

  constructor(private readonly answered: (answer: Answer) => void) {}

  readonly giveUp = (): void => {
    if (this.done) return
    this.done = true
    this.controller?.abort(GIVEN_UP)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    // Given up while it waited for a connection: it must not go out any more.
    if (this.done) controller.abort(GIVEN_UP)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.status = status
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    ;(this.chunks ??= []).push(chunk)
  }

  onResponseEnd(): void {
    this.end({
      status: this.status,
      body: this.chunks === undefined ? "" : Buffer.concat(this.chunks).toString(),
      sent: true
    })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const code = "code" in error ? String(error.code) : ""
    this.end({ status: 0, body: REASONS[code] ?? (error.message || code), sent: !(code in NEVER_SENT) })
  }

  private end(answer: Answer): void {
    if (this.done) return
    this.done = true
    this.answered(answer)
  }
}

const GIVEN_UP = new Error("given up")

const NEVER_SENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection to the sidecar is refused: nothing listens there",
  UND_ERR_CONNECT_TIMEOUT: "the sidecar's port does not answer",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "there is no such host"
}
const REASONS: Readonly<Record<string, string>> = {
  ...NEVER_SENT,
  UND_ERR_SOCKET: "the connection to the sidecar broke",
  ECONNRESET: "the connection to the sidecar broke",
  EPIPE: "the connection to the sidecar broke"
}
