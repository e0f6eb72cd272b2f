/**
 * Calls that begin in one turn of the event loop, made as one request. Most of what a call costs, here and in the sidecar,
 * is then paid once for all of them. A call that begins alone is sent alone, and no call waits for an earlier request.
 */
import type { Client } from "@connectrpc/connect"
import type { Dapr } from "@dapr/dapr/proto/dapr/proto/runtime/v1/dapr_pb.js"
import type { CallOptions } from "../sidecar/GrpcConnection.js"

/** A question is about one key; a request is about each key once. */
export interface Asking<Question extends { readonly key: string }, Answer> {
  /** about how much of the request it takes, bytes */
  readonly size: (question: Question) => number
  readonly alone: (dapr: Client<typeof Dapr>, question: Question, options: CallOptions) => Promise<Answer>
  /** Undefined for one that this request cannot answer: it is asked alone then. */
  readonly together: (
    dapr: Client<typeof Dapr>,
    questions: ReadonlyArray<Question>,
    options: CallOptions
  ) => Promise<(question: Question) => Answer | undefined>
  /** Whether, after a request that failed with this error, each question is asked alone; else each fails with it. */
  readonly again: (error: unknown) => boolean
}

interface Waiting<Question, Answer> {
  readonly dapr: Client<typeof Dapr>
  readonly question: Question
  readonly options: CallOptions
  /** its deadline, monotonic milliseconds */
  readonly until: number
  readonly resolve: (answer: Answer | Promise<Answer>) => void
  readonly reject: (error: unknown) => void
}

/** in one request */
const MOST = 64
const MOST_BYTES = 1024 * 1024
/** Deadlines in one request, the shortest as part of the longest: the shortest holds for all. */
const ALIKE = 0.8
/** The least that must be left of a deadline, milliseconds: with less, a question is not asked again. */
const LEAST_MS = 20

export class RequestCoalescer<Question extends { readonly key: string }, Answer> {
  private waiting: Array<Waiting<Question, Answer>> = []

  constructor(private readonly asking: Asking<Question, Answer>) {}

  ask(dapr: Client<typeof Dapr>, question: Question, options: CallOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ dapr, question, options, until: performance.now() + options.timeoutMs, resolve, reject })
      if (this.waiting.length === 1) setImmediate(this.flush)
    })
  }

  private readonly flush = (): void => {
    let rest: ReadonlyArray<Waiting<Question, Answer>> = this.waiting
    this.waiting = []
    while (rest.length > 0) {
      const { later, now } = this.split(rest.filter(({ options }) => !options.signal.aborted))
      rest = later
      if (now.length === 1) this.askAlone(now[0]!)
      else if (now.length > 1) void this.askTogether(now)
    }
  }

  /** What fits into one request with the first. */
  private split(all: ReadonlyArray<Waiting<Question, Answer>>) {
    const now: Array<Waiting<Question, Answer>> = []
    const later: Array<Waiting<Question, Answer>> = []
    const keys = new Set<string>()
    let bytes = 0
    for (const one of all) {
      const { question } = one
      const [mine, first] = [left(one), left(all[0]!)]
      const alike = Math.min(mine, first) >= ALIKE * Math.max(mine, first)
      const size = this.asking.size(question)
      const fits = now.length < MOST && (now.length === 0 || bytes + size <= MOST_BYTES)
      if (!fits || !alike || keys.has(question.key)) {
        later.push(one)
        continue
      }
      keys.add(question.key)
      bytes += size
      now.push(one)
    }
    return { now, later }
  }

  private askAlone(one: Waiting<Question, Answer>): void {
    const { dapr, options, question, reject, resolve } = one
    this.asking.alone(dapr, question, { ...options, timeoutMs: left(one) }).then(resolve, reject)
  }

  private async askTogether(all: ReadonlyArray<Waiting<Question, Answer>>): Promise<void> {
    const { dapr, options } = all[0]!
    const timeoutMs = Math.min(...all.map(left))
    const again = (one: Waiting<Question, Answer>, error: unknown): void => {
      if (one.options.signal.aborted) return
      if (left(one) < LEAST_MS) one.reject(error)
      else this.askAlone(one)
    }
    const questions = all.map(({ question }) => question)
    try {
      const answerTo = await this.asking.together(dapr, questions, {
        ...options,
        timeoutMs,
        signal: whenAllAborted(all)
      })
      for (const one of all) {
        const answer = answerTo(one.question)
        if (answer === undefined) again(one, NO_TIME)
        else one.resolve(answer)
      }
    } catch (error) {
      for (const one of all) {
        if (this.asking.again(error)) again(one, error)
        else one.reject(error)
      }
    }
  }
}

const NO_TIME = new Error("no time left to ask alone")

/** what is left of its time, milliseconds, at least 1: a time-out of 0 would be no time-out at all */
const left = ({ until }: { readonly until: number }): number => Math.max(1, Math.ceil(until - performance.now()))

const whenAllAborted = (all: ReadonlyArray<{ readonly options: CallOptions }>): AbortSignal => {
  const controller = new AbortController()
  let interested = all.length
  const aborted = () => {
    if (--interested === 0) controller.abort()
  }
  for (const { options } of all) options.signal.addEventListener("abort", aborted, { once: true })
  return controller.signal
}
