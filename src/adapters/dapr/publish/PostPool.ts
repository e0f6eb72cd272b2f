/** One POST over HTTP/1.1, told to a callback: what a publish needs of undici, without a promise or a stream for each. */
import type { Client, Dispatcher } from "undici"

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
  /** names and values in turn */
  readonly headers: ReadonlyArray<string>
  readonly body: string | Buffer
}

export class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined
  private done = false
  private status = 0
  private chunks: Array<Buffer> | undefined

  constructor(
    private readonly request: Post,
    private readonly answered: (answer: Answer) => void,
    /** The connection it was sent on is free again; called once, before the answer is told. */
    private readonly freed: (http: Dispatcher) => void
  ) {}

  private http: Dispatcher | undefined

  send(http: Dispatcher): void {
    const { body, headers, path } = this.request
    this.http = http
    http.dispatch({ path, method: "POST", headers: headers as Array<string>, body }, this)
  }

  /** Nothing is told any more. True: it was not under way. */
  giveUp(): boolean {
    if (this.done) return false
    this.done = true
    this.controller?.abort(GIVEN_UP)
    return this.http === undefined
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
    const { chunks, status } = this
    this.freed(this.http!)
    this.end({ status, body: chunks === undefined ? "" : Buffer.concat(chunks).toString(), sent: true })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const code = "code" in error ? String(error.code) : ""
    // undici is in the middle of giving up what this connection had: it takes nothing new before that is done.
    queueMicrotask(() => {
      this.freed(this.http!)
      this.end({ status: 0, body: REASONS[code] ?? (error.message || code), sent: !(code in NEVER_SENT) })
    })
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

// ------------------------------------------------------------ the pool

// POSTs to the sidecar, each alone on a connection of its own, which is kept.
//
// A POST that is sent from within an answer gets the connection that the answer came on, and goes out at once. The Pool of
// undici takes another, and waits for a turn of the event loop before it is written to.

/**
 * Of a client for `PostPool`. The pool itself keeps each connection to one request at a time. With undici's own limit of
 * one, the next request would wait for a turn of the event loop.
 */
export const CLIENT_OPTIONS: Client.Options = { pipelining: 2, keepAliveTimeout: 30_000 }

export class PostPool {
  private readonly clients: Array<Dispatcher> = []
  /** the one that was used last is last */
  private readonly idle: Array<Dispatcher> = []
  private readonly waiting = new Set<Exchange>()

  constructor(
    private readonly makeClient: () => Dispatcher,
    /** Each request that waits for an answer holds one. */
    private readonly connections: number
  ) {}

  /** `answered` is called once, unless the returned function was called first, which gives the request up. */
  send(request: Post, answered: (answer: Answer) => void): () => void {
    const exchange = new Exchange(request, answered, this.freed)
    const http = this.idle.pop() ?? this.another()
    if (http === undefined) this.waiting.add(exchange)
    else exchange.send(http)
    return () => {
      if (exchange.giveUp()) this.waiting.delete(exchange)
    }
  }

  async destroy(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.destroy()))
  }

  private another(): Dispatcher | undefined {
    if (this.clients.length === this.connections) return undefined
    const client = this.makeClient()
    this.clients.push(client)
    return client
  }

  private readonly freed = (http: Dispatcher): void => {
    for (const exchange of this.waiting) {
      this.waiting.delete(exchange)
      return exchange.send(http)
    }
    this.idle.push(http)
  }
}
