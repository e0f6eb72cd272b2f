/**
 * A TCP proxy on a free loopback port that can stop answering, cut what runs through it, and refuse.
 *
 * It forwards until told otherwise; what happens concerns open connections and new ones alike.
 */
import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./Ports.js"

type Mode = "forward" | "stall" | "withhold"

interface Pair {
  readonly client: Socket
  /** undefined while it was accepted during a stall */
  upstream: Socket | undefined
}

export class StallingProxy {
  private readonly pairs = new Set<Pair>()
  private mode: Mode = "forward"
  private server: Server | undefined
  /** connections accepted so far */
  accepted = 0
  /** told what clients send, when it is passed on; connections are numbered from 1 */
  heard: (chunk: Buffer, connection: number) => void = () => {}

  private constructor(
    readonly port: number,
    private target: number
  ) {}

  /** In front of a port of the loopback interface. */
  static start(target: number): Effect.Effect<StallingProxy, never, Scope.Scope> {
    return Effect.flatMap(freePort, (port) =>
      Effect.acquireRelease(
        Effect.promise(async () => {
          const proxy = new StallingProxy(port, target)
          await proxy.listen()
          return proxy
        }),
        (proxy) => proxy.refuse
      )
    )
  }

  /** open connections */
  get open(): number {
    return this.pairs.size
  }

  /** Accepts and never answers; nothing reaches the target. */
  readonly stall = Effect.sync(() => this.enter("stall"))

  /** Requests reach the target, and their answers are held back. */
  readonly withhold = Effect.sync(() => this.enter("withhold"))

  /** Ends every open connection; new ones are treated as before. */
  readonly cut = Effect.sync(() => this.destroyAll())

  /** Leads to another port from now on; what led to the former one is ended. */
  readonly redirect = (target: number): Effect.Effect<void> =>
    Effect.sync(() => {
      this.target = target
      this.destroyAll()
    })

  /** Nobody listens any more, and every open connection is ended. */
  readonly refuse = Effect.promise(async () => {
    const { server } = this
    this.server = undefined
    this.destroyAll()
    if (server === undefined) return
    const closed = once(server, "close")
    server.close()
    await closed
  })

  /** Forwards again, what was held back first. */
  readonly resume = Effect.promise(async () => {
    this.enter("forward")
    await this.listen()
  })

  private async listen(): Promise<void> {
    if (this.server !== undefined) return
    const server = createServer({ noDelay: true }, (client) => this.accept(client))
    this.server = server
    server.listen(this.port, "127.0.0.1")
    await once(server, "listening")
  }

  private accept(client: Socket): void {
    const connection = ++this.accepted
    const pair: Pair = { client, upstream: undefined }
    this.pairs.add(pair)
    client.pause()
    client.on("data", (chunk: Buffer) => this.heard(chunk, connection))
    client.on("error", () => this.destroy(pair)).on("close", () => this.destroy(pair))
    this.apply(pair)
  }

  private enter(mode: Mode): void {
    this.mode = mode
    for (const pair of this.pairs) this.apply(pair)
  }

  private apply(pair: Pair): void {
    flow(pair.client, pair.upstream, false)
    flow(pair.upstream, pair.client, false)
    if (this.mode === "stall") return
    pair.upstream ??= this.dial(pair)
    flow(pair.client, pair.upstream, true)
    flow(pair.upstream, pair.client, this.mode === "forward")
  }

  private dial(pair: Pair): Socket {
    const upstream = connect({ port: this.target, host: "127.0.0.1", noDelay: true })
    upstream.pause()
    return upstream.on("error", () => this.destroy(pair)).on("close", () => this.destroy(pair))
  }

  private destroyAll(): void {
    for (const pair of this.pairs) this.destroy(pair)
  }

  private destroy(pair: Pair): void {
    this.pairs.delete(pair)
    pair.client.destroy()
    pair.upstream?.destroy()
  }
}

const flow = (from: Socket | undefined, to: Socket | undefined, on: boolean): void => {
  if (from === undefined || to === undefined) return
  if (on) return void from.pipe(to)
  from.unpipe(to)
  from.pause()
}
