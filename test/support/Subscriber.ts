/** A stock Dapr streaming subscriber: what another application of the same Dapr would receive. */
import { GRPCClient } from "@dapr/dapr"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Sidecar } from "./Sidecar.js"

export interface SubscribeOptions {
  readonly sidecar: Pick<Sidecar, "grpcPort">
  /** `wsm-pubsub` unless told */
  readonly pubsub?: string
  readonly topic: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly apiToken?: string
  /** the answer to each event; success unless told */
  readonly answer?: (event: ReceivedEvent) => "success" | "retry" | "drop"
}

/** An event as it was delivered. */
export interface ReceivedEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly specVersion: string
  readonly dataContentType: string
  /** decoded: the bytes that were published, binary ones too */
  readonly data: Buffer
  readonly topic: string
  readonly pubsubName: string
  /** every attribute the envelope has no field for: ours, `subject`, `time` */
  readonly extensions: Readonly<Record<string, unknown>>
}

export interface Subscriber {
  /** in the order of delivery */
  readonly events: ReadonlyArray<ReceivedEvent>
  /** that many have come, within `timeoutMs` (15 s); fails with what has */
  readonly received: (count: number, timeoutMs?: number) => Effect.Effect<ReadonlyArray<ReceivedEvent>, Error>
  /** the stream is open; it ends with the sidecar, and does not come back */
  readonly open: () => boolean
}

const ANSWERS = { success: 0, retry: 1, drop: 2 } as const
const SUBSCRIBED_MS = 10_000
const SILENT = { debug() {}, error() {}, info() {}, log() {}, verbose() {}, warn() {} }

/** Subscribed when it returns; one topic has one subscription. */
export const subscribe = (options: SubscribeOptions): Effect.Effect<Subscriber, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({ try: () => Stock.open(options), catch: (cause) => cause as Error }),
    (subscriber) => Effect.promise(() => subscriber.close())
  )

/** What goes to the sidecar: the wish, then an answer to each event. */
class Requests<A> implements AsyncIterable<A> {
  private readonly queue: Array<A> = []
  private wake: () => void = () => {}
  private over = false

  add(request: A): void {
    this.queue.push(request)
    this.wake()
  }

  end(): void {
    this.over = true
    this.wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<A> {
    while (!this.over) {
      yield* this.queue.splice(0)
      if (this.queue.length === 0 && !this.over) await new Promise<void>((resolve) => (this.wake = resolve))
    }
  }
}

type Dapr = Awaited<ReturnType<GRPCClient["getClient"]>>
type Request = Parameters<Dapr["subscribeTopicEventsAlpha1"]>[0] extends AsyncIterable<infer A> ? A : never

class Stock implements Subscriber {
  readonly events: Array<ReceivedEvent> = []
  private readonly requests = new Requests<Request>()
  private readonly abort = new AbortController()
  private state: "opening" | "open" | "ended" = "opening"
  private cause: unknown
  private reading: Promise<void> = Promise.resolve()

  private constructor(private readonly options: SubscribeOptions) {}

  readonly open = (): boolean => this.state === "open"

  static async open(options: SubscribeOptions): Promise<Stock> {
    const stock = new Stock(options)
    const client = await new GRPCClient({
      daprHost: "127.0.0.1",
      daprPort: `${options.sidecar.grpcPort}`,
      maxBodySizeMb: 64,
      logger: { service: SILENT },
      ...(options.apiToken === undefined ? undefined : { daprApiToken: options.apiToken })
    }).getClient(false)
    stock.reading = stock.read(client)
    try {
      await until(() => stock.state !== "opening", SUBSCRIBED_MS)
      if (!stock.open()) throw new Error(`no subscription to ${options.topic}: ${String(stock.cause ?? "no answer")}`)
      return stock
    } catch (error) {
      await stock.close()
      throw error
    }
  }

  readonly received = (count: number, timeoutMs = 15_000): Effect.Effect<ReadonlyArray<ReceivedEvent>, Error> =>
    Effect.tryPromise({
      try: async () => {
        await until(() => this.events.length >= count || this.state === "ended", timeoutMs)
        if (this.events.length >= count) return this.events
        const why = this.state === "ended" ? `the subscription ended: ${String(this.cause)}` : `after ${timeoutMs} ms`
        throw new Error(`${this.events.length} of ${count} events of ${this.options.topic}, ${why}`)
      },
      catch: (cause) => cause as Error
    })

  async close(): Promise<void> {
    this.requests.end()
    this.abort.abort()
    await this.reading
  }

  private async read(client: Dapr): Promise<void> {
    const { pubsub = "wsm-pubsub", topic, metadata = {}, answer } = this.options
    this.requests.add({
      subscribeTopicEventsRequestType: { case: "initialRequest", value: { pubsubName: pubsub, topic, metadata } }
    })
    try {
      for await (const response of client.subscribeTopicEventsAlpha1(this.requests, { signal: this.abort.signal })) {
        this.state = "open"
        const { case: kind, value } = response.subscribeTopicEventsResponseType
        if (kind !== "eventMessage") continue
        const event = { ...value, data: Buffer.from(value.data), extensions: value.extensions ?? {} }
        this.events.push(event)
        this.requests.add({
          subscribeTopicEventsRequestType: {
            case: "eventProcessed",
            value: { id: value.id, status: { status: ANSWERS[answer?.(event) ?? "success"] } }
          }
        })
      }
    } catch (cause) {
      this.cause = cause
    }
    this.state = "ended"
  }
}

const until = async (condition: () => boolean, timeoutMs: number): Promise<void> => {
  const deadline = Date.now() + timeoutMs
  while (!condition() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
}
