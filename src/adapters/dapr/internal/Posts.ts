/**
 * POSTs to the sidecar, each alone on a connection of its own, which is kept.
 *
 * A POST that is sent from within an answer gets the connection that the answer came on, and goes out at once. undici's
 * Pool takes another, and waits for a turn of the event loop before it is written to.
 */
import type { Client, Dispatcher } from "undici"
import { type Answer, Exchange, type Post } from "./exchange.js"

/** Of a client for `Posts`. One request at a time is here; undici's own one at a time waits for that turn. */
export const CLIENT_OPTIONS: Client.Options = { pipelining: 2, keepAliveTimeout: 30_000 }

export class Posts {
  private readonly clients: Array<Dispatcher> = []
  /** the one that was used last is last */
  private readonly idle: Array<Dispatcher> = []
  private readonly waiting = new Set<Exchange>()

  constructor(
    private readonly makeClient: () => Dispatcher,
    /** Requests that wait for an answer hold one each. */
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
