/** What a newcomer does: a feed, a manager, and every command on the two, as real processes where they stay. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import * as Effect from "effect/Effect"
import { built, type Ran, start, wsm } from "./runWsm.js"

type Process = Awaited<ReturnType<typeof start>>
const SERVE = ["serve", "--http-port", "0", "--grpc-port", "0", "--data-dir", "", "--log-level", "warning"]

const processes: Array<Process> = []
const started = async (...args: Parameters<typeof start>): Promise<Process> => {
  const process = await start(...args)
  processes.push(process)
  return process
}
const ended = async (process: Process, signal: NodeJS.Signals) => {
  process.child.kill(signal)
  return process.ended
}

let feedUrl = ""
let server: Process
let env: { readonly WSM_SERVER: string }

/** A command against the manager, inside this process. */
const call = (...argv: ReadonlyArray<string>): Promise<Ran> => Effect.runPromise(wsm(argv, { env }))
const json = async (...argv: ReadonlyArray<string>) => {
  const { err, out, status } = await call(...argv, "--json")
  expect([status, err]).toEqual([0, ""])
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
}
const connected = async (...options: ReadonlyArray<string>): Promise<string> => {
  const [{ id, status }] = await json("connect", feedUrl, ...options)
  expect(status).toBe("CONNECTION_STATUS_CONNECTED")
  return id
}
const serving = async (...options: ReadonlyArray<string>) => {
  const process = await started([...SERVE, ...options])
  const [, url] = await process.line(/^websocketmanager is up: http (\S+) {2}grpc (\S+) {2}\(instance \S+\)\n.*\n.*\n/)
  return { process, url: url! }
}

// processes that start while other tests have the cores
vi.setConfig({ testTimeout: 60_000 })
beforeAll(async () => {
  await built()
  const [feed, manager] = await Promise.all([started(["feed", "--port", "0", "--rate", "100 per second"]), serving()])
  feedUrl = (await feed.line(/^feed is up: (\S+) /))[1]!
  server = manager.process
  env = { WSM_SERVER: manager.url }
}, 60_000)

afterAll(() => {
  for (const { child } of processes) child.kill("SIGKILL")
})

describe("wsm, end to end", () => {
  it("connect, ls, get, tail, subscribe, send, unpublish, publish, disconnect do what they say", async () => {
    const id = await connected("--topic", "demo", "--tag", "env=e2e")
    const [{ connections }] = await json("ls", "--tag", "env=e2e")
    expect(connections).toMatchObject([{ id, url: feedUrl, topic: "demo", tags: { env: "e2e" } }])
    expect((await call("ls", "--topic", "other")).out).toBe("")

    const frames = await json("tail", id, "--count", "3")
    const [first] = frames
    expect(frames.map(({ sequence }) => sequence - first.sequence)).toEqual([0, 1, 2])
    const ticks = frames.map(({ text }) => JSON.parse(text).seq)
    expect(ticks).toEqual([ticks[0], ticks[0] + 1, ticks[0] + 2])

    const [{ event }] = await json("subscribe", "demo", "--count", "1")
    expect(event).toMatchObject({ type: "websocketmanager.frame", subject: id, specversion: "1.0" })
    expect((await call("subscribe", "demo", "--count", "1")).out).toContain(`${id}  `)

    const message = '{"id":4711,"hello":"wörld"}'
    expect((await call("send", id, message)).out).toBe(`${message}\n`)
    expect(await call("send", "--raw", id, "fire and forget")).toMatchObject({ status: 0, err: "" })
    expect((await call("send", id, "what next?", "--correlation", "next", "--timeout", "5s")).status).toBe(0)

    expect((await call("unpublish", id)).out).toMatch(/^topic +- \(not publishing\)$/m)
    expect((await call("publish", id, "elsewhere")).out).toMatch(/^topic +elsewhere$/m)
    expect((await call("get", id)).out).toMatch(/^status +connected$/m)

    expect(await call("disconnect", id)).toMatchObject({ status: 0, err: "" })
    expect(await call("get", id)).toMatchObject({
      status: 1,
      err: `wsm: ConnectionNotFound: there is no connection ${id}; see what is there with 'wsm ls'\n`
    })
  })

  it("what the manager refuses is status 1, by its tag", async () => {
    expect(await call("connect", "http://not-a-websocket/")).toMatchObject({ status: 1, out: "" })
    expect((await call("connect", "http://not-a-websocket/")).err).toMatch(/^wsm: InvalidRequest: url: /)
    expect((await call("connect", "ws://127.0.0.1:1/")).err).toMatch(/^wsm: DialFailed: .*refused/)
    expect((await call("get", "no-uuid")).err).toMatch(/^wsm: InvalidRequest: id: /)
    const id = await connected()
    expect((await call("migrate", id)).err).toMatch(/^wsm: NoTarget: /)
    expect((await call("rebalance")).out).toMatch(/^moved +0$/m)
    expect((await call("instances")).out).toMatch(/ alive +/)
  })

  it("events shows a connection's life as it happens; Ctrl-C ends events and tail with 0", async () => {
    const id = await connected()
    const events = await started(["events", "--id", id], env)
    const tail = await started(["tail", id], env)
    await tail.line(/^\d\d:\d\d:\d\d\.\d{3} {2}\d+:\d+ +\d+ B {2}\{"seq":/)
    // the process says nothing when it has begun: what it must see happens until it does
    while (!events.output.out.includes("connecting")) await call("reconnect", id)
    await events.line(new RegExp(`  connected +${id} `))
    const ends = await Promise.all([ended(events, "SIGINT"), ended(tail, "SIGINT")])
    expect(ends).toEqual(Array.from({ length: 2 }, () => ({ status: 0, signal: null })))
    expect(events.output.err + tail.output.err).toBe("")
  })

  it("SIGTERM ends the manager with 0; whoever follows a stream is told, with status 1", async () => {
    const id = await connected()
    const tail = await started(["tail", id], env)
    await tail.line(/"seq":/)
    expect(await ended(server, "SIGTERM")).toEqual({ status: 0, signal: null })
    expect(await tail.ended).toEqual({ status: 1, signal: null })
    expect(tail.output.err).toMatch(/^wsm: [^\n]+\n$/)
    expect((await call("ls")).err).toMatch(/^wsm: no manager at /)
  })

  it("a second SIGTERM ends the manager at once", async () => {
    const { process, url } = await serving("--drain-mode", "wait")
    env = { WSM_SERVER: url }
    await connected()
    process.child.kill("SIGTERM")
    while ((await call("instances")).out.includes("alive")) continue
    expect(await ended(process, "SIGTERM")).toEqual({ status: 143, signal: null })
  })
})
