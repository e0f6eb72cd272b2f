import { describe, expect, it } from "vitest"
import type { CallOptions } from "../../src/adapters/dapr/sidecar/GrpcConnection.js"
import { RequestCoalescer } from "../../src/adapters/dapr/state/RequestCoalescer.js"

interface Question {
  readonly key: string
  readonly bytes?: number
}

/** After this each is asked alone. */
const refused = () => new Error("refused")

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** What was asked, alone or together; `together` decides what a request of several comes to. */
const asking = (together: (keys: ReadonlyArray<string>, signal: AbortSignal) => Promise<ReadonlySet<string>>) => {
  const requests: Array<{ readonly keys: ReadonlyArray<string>; readonly timeoutMs: number }> = []
  const calls = new RequestCoalescer<Question, string>({
    size: ({ bytes }) => bytes ?? 1,
    alone: async (_dapr, { key }, { timeoutMs }) => {
      requests.push({ keys: [key], timeoutMs })
      if (key === "lost") throw refused()
      return `${key} alone`
    },
    together: async (_dapr, questions, { signal, timeoutMs }) => {
      const keys = questions.map(({ key }) => key)
      requests.push({ keys, timeoutMs })
      const known = await together(keys, signal)
      return ({ key }) => (known.has(key) ? `${key} together` : undefined)
    },
    again: (error) => (error as Error).message === "refused"
  })
  const ask = (key: string, options: Partial<CallOptions> & { readonly bytes?: number } = {}) =>
    calls.ask(undefined as never, options.bytes === undefined ? { key } : { key, bytes: options.bytes }, {
      signal: new AbortController().signal,
      timeoutMs: 1000,
      headers: {},
      ...options
    })
  return { ask, requests }
}

const all = async (keys: ReadonlyArray<string>) => new Set(keys)

describe("calls of one turn of the event loop", () => {
  it("are one request, and one that begins later is a request of its own", async () => {
    const { ask, requests } = asking(all)
    expect(await Promise.all([ask("a"), ask("b"), ask("c")])).toEqual(["a together", "b together", "c together"])
    expect(await ask("d")).toBe("d alone")
    expect(requests.map(({ keys }) => keys)).toEqual([["a", "b", "c"], ["d"]])
  })

  it("wait for no earlier request", async () => {
    const { ask, requests } = asking(() => new Promise(() => {}))
    void ask("a")
    void ask("b")
    await turn()
    expect(await ask("c")).toBe("c alone")
    expect(requests).toHaveLength(2)
  })

  it("are asked alone where the request as a whole was refused, and each hears of its own", async () => {
    const { ask } = asking(async () => {
      throw refused()
    })
    const answers = await Promise.allSettled([ask("a"), ask("lost"), ask("c")])
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect(answers[1]).toMatchObject({ reason: { message: "refused" } })
  })

  it("are asked alone where the request has no answer for them", async () => {
    const { ask } = asking(async () => new Set(["a"]))
    expect(await Promise.all([ask("a"), ask("b")])).toEqual(["a together", "b alone"])
  })

  it("all fail where it is not for each alone to find out", async () => {
    const { ask, requests } = asking(async () => {
      throw new Error("the connection broke")
    })
    const answers = await Promise.allSettled([ask("a"), ask("b")])
    expect(answers.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    expect(requests).toHaveLength(1)
  })

  it("ask no more where the time has gone with the request that was refused", async () => {
    const { ask, requests } = asking(async () => {
      await new Promise((resolve) => setTimeout(resolve, 90))
      throw refused()
    })
    const answers = await Promise.allSettled([ask("a", { timeoutMs: 80 }), ask("b", { timeoutMs: 80 })])
    expect(answers.map((answer) => answer.status === "rejected" && answer.reason.message)).toEqual([
      "refused",
      "refused"
    ])
    expect(requests).toHaveLength(1)
  })

  it("share the shortest deadline, where the deadlines are alike", async () => {
    const { ask, requests } = asking(all)
    await Promise.all([ask("a", { timeoutMs: 1000 }), ask("b", { timeoutMs: 850 }), ask("c", { timeoutMs: 300 })])
    expect(requests.map(({ keys }) => keys)).toEqual([["a", "b"], ["c"]])
    expect(requests[0]!.timeoutMs).toBeLessThanOrEqual(850)
    expect(requests[0]!.timeoutMs).toBeGreaterThan(600)
  })

  it("wait on their own time for the turn to end", async () => {
    const { ask, requests } = asking(all)
    const answers = Promise.all([ask("a", { timeoutMs: 500 }), ask("b", { timeoutMs: 500 })])
    const until = performance.now() + 200
    while (performance.now() < until);
    await answers
    expect(requests[0]!.timeoutMs).toBeLessThanOrEqual(300)
  })

  it("ask for one key once in a request, and keep a request within its limits", async () => {
    const { ask, requests } = asking(all)
    const half = 600 * 1024
    await Promise.all([ask("a"), ask("a"), ask("b", { bytes: half }), ask("c", { bytes: half })])
    expect(requests.map(({ keys }) => keys)).toEqual([
      ["a", "b"],
      ["a", "c"]
    ])
    requests.length = 0
    await Promise.all(Array.from({ length: 65 }, (_, i) => ask(String(i))))
    expect(requests.map(({ keys }) => keys.length)).toEqual([64, 1])
  })

  it("are cancelled when nobody waits any more, and not before", async () => {
    let asked: AbortSignal | undefined
    const { ask, requests } = asking((_keys, signal) => {
      asked = signal
      return new Promise(() => {})
    })
    const [first, second, early] = [new AbortController(), new AbortController(), new AbortController()]
    void ask("a", { signal: first.signal })
    void ask("b", { signal: second.signal })
    void ask("c", { signal: early.signal })
    early.abort()
    await turn()
    expect(requests).toMatchObject([{ keys: ["a", "b"] }])
    first.abort()
    expect(asked?.aborted).toBe(false)
    second.abort()
    expect(asked?.aborted).toBe(true)
  })
})
