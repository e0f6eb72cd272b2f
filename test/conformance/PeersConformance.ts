/**
 * What `src/ports/Peers.ts` promises, as tests against the port alone, in real time. An adapter is right when it passes them;
 * so is a network that stands for one in tests.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConnectionNotOpen, OwnerUnreachable, SendAborted } from "../../src/domain/Errors.js"
import { CallDeadline } from "../../src/ports/CallDeadline.js"
import { type PeerService, Peers, type SendProgress } from "../../src/ports/Peers.js"

type Desk = PeerService["Type"]

/** One caller, and one peer that the test rules. */
export interface PeersHarness {
  readonly peers: Peers["Type"]
  readonly to: string
  /** where no process listens */
  readonly nobody: string
  /** The peer answers by this desk until the scope closes; until then its process is there and serves nothing. */
  readonly serve: (desk: Desk) => Effect.Effect<void, never, Scope.Scope>
  /** The peer's process is gone. */
  readonly crash: Effect.Effect<void>
  /** The peer's process does nothing. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** What stands to the peer breaks, while its port answers. */
  readonly reset: Effect.Effect<void>
  /** of hello and ask, in milliseconds */
  readonly deadline: number
}

export const ME = { id: "me", incarnation: "01980000-0000-7000-8000-00000000000a", address: "http://127.0.0.1:1" }
const PEER = "01980000-0000-7000-8000-00000000000b"
/** What the desk says to whoever says hello. */
export const GREETING = { incarnation: PEER, counted: true, acts: true }
const HANDOVER = { id: "c1", epoch: 7, overlap: true }
/** Far below every deadline of the port: what ends within it has not waited for one. */
const AT_ONCE = 700

/** Whether it is done by then. */
const isDoneWithin = (millis: number, deferred: Deferred.Deferred<void>): Effect.Effect<boolean> =>
  Effect.timeoutTo(Deferred.await(deferred), { duration: millis, onSuccess: () => true, onTimeout: () => false })

/** A desk that answers nothing but what the test says. */
export const desk = (says: Partial<Desk> = {}): Desk => ({
  incarnation: () => PEER,
  hello: () => Effect.succeed(GREETING),
  probeLease: () => Effect.succeed({ incarnation: PEER, verdict: "reached" }),
  offerHandover: () => Effect.succeed(false),
  confirmHandover: () => Effect.succeed(false),
  call: () => Effect.never,
  send: () => Stream.never,
  open: () => Effect.never,
  ...says
})

const frame = (n: number) => ({
  data: Uint8Array.of(n % 256, 255),
  contentType: "application/octet-stream",
  epoch: 1,
  sequence: n,
  receivedAt: new Date(1_700_000_000_000 + n),
  missed: 0
})
const RECEIVE = { id: "00000000-0000-7000-8000-000000000001" }
const SEND = { id: RECEIVE.id, message: Uint8Array.of(1, 2, 3), timeoutMs: 1_000 }

export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const started = performance.now()
    const value = yield* effect
    return { value, ms: performance.now() - started }
  })

export const peersConformance = (name: string, harness: Effect.Effect<PeersHarness, unknown, Scope.Scope>) => {
  const test = (title: string, body: (harness: PeersHarness) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () => Effect.flatMap(harness, body), 30_000)

  describe(`Peers (${name})`, () => {
    test("hello and ask say who asks, and bring the answer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const heard: Array<unknown> = []
        yield* serve(
          desk({
            hello: (from) => Effect.sync(() => (heard.push(from), GREETING)),
            probeLease: (from) => Effect.sync(() => (heard.push(from), { incarnation: undefined, verdict: undefined }))
          })
        )
        expect(yield* peers.hello(to, ME)).toEqual(GREETING)
        expect(yield* peers.probeLease(to, ME)).toEqual({ incarnation: undefined, verdict: undefined })
        expect(heard).toEqual([ME, ME])
      }))

    test("each verdict comes as it was given", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const verdicts = ["fenced", "reached", "not-reached"] as const
        let next = 0
        yield* serve(desk({ probeLease: () => Effect.sync(() => ({ incarnation: "i", verdict: verdicts[next++] })) }))
        const got = yield* Effect.replicateEffect(peers.probeLease(to, ME), 3)
        expect(got.map(({ verdict }) => verdict)).toEqual(verdicts)
      }))

    test("take and moved bring what is moved, and the answer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const heard: Array<unknown> = []
        yield* serve(
          desk({
            offerHandover: (...said) => Effect.sync(() => (heard.push(said), true)),
            confirmHandover: (...said) => Effect.sync(() => (heard.push(said), false))
          })
        )
        expect(yield* peers.offerHandover(to, ME, HANDOVER)).toBe(true)
        expect(yield* peers.confirmHandover(to, ME, "c1", 8)).toBe(false)
        expect(heard).toEqual([
          [ME, HANDOVER],
          [ME, "c1", 8]
        ])
      }))

    test("where nobody listens every operation is refused, and a link never stands", ({ nobody, peers }) =>
      Effect.gen(function* () {
        let up = 0
        const failures = yield* Effect.all([
          Effect.flip(peers.hello(nobody, ME)),
          Effect.flip(peers.probeLease(nobody, ME)),
          Effect.flip(peers.offerHandover(nobody, ME, HANDOVER)),
          Effect.flip(peers.confirmHandover(nobody, ME, "c1", 8)),
          Effect.flip(peers.link(nobody, ME, () => up++)),
          Effect.flip(peers.call(nobody, "Get", RECEIVE)),
          Effect.flip(Stream.runDrain(peers.send(nobody, SEND))),
          Effect.flip(peers.open(nobody, "Receive", RECEIVE))
        ])
        for (const failure of failures) expect(failure).toMatchObject({ _tag: "PeerRefused", address: nobody })
        expect(up).toBe(0)
      }))

    test("a frozen peer is silent, not refused, and within the deadline", ({ deadline, freeze, peers, serve, to }) =>
      Effect.gen(function* () {
        yield* serve(desk())
        yield* freeze
        const { ms, value } = yield* timed(Effect.flip(peers.probeLease(to, ME)))
        expect(value).toMatchObject({ _tag: "PeerSilent", address: to, sent: false })
        expect(ms).toBeGreaterThan(deadline * 0.8)
        expect(ms).toBeLessThan(deadline * 3)
      }))

    test("a call that had left says so when its answer does not come", ({ freeze, peers, serve, thaw, to }) =>
      Effect.gen(function* () {
        yield* serve(desk())
        yield* peers.probeLease(to, ME)
        yield* freeze
        expect(yield* Effect.flip(peers.probeLease(to, ME))).toMatchObject({ _tag: "PeerSilent", sent: true })
        yield* thaw
        expect(yield* Effect.retry(peers.probeLease(to, ME), { times: 5 })).toMatchObject({ verdict: "reached" })
      }))

    test("a process that is there and does not serve yet lets its callers wait", ({ deadline, peers, serve, to }) =>
      Effect.gen(function* () {
        const call = yield* Effect.fork(peers.hello(to, ME))
        yield* Effect.sleep(deadline / 4)
        expect(call.unsafePoll()).toBeNull()
        yield* serve(desk())
        expect(yield* Fiber.join(call)).toEqual(GREETING)
      }))

    test("a link tells the answer and stands, until the process is gone: at once, and then it is refused", (h) =>
      Effect.gen(function* () {
        const { crash, peers, serve, to } = h
        yield* serve(desk())
        const up = yield* Deferred.make<unknown>()
        const link = yield* Effect.fork(
          peers.link(to, ME, (greeting) => Deferred.unsafeDone(up, Exit.succeed(greeting)))
        )
        expect(yield* Deferred.await(up)).toEqual(GREETING)
        yield* Effect.sleep(300)
        expect(link.unsafePoll()).toBeNull()
        yield* crash
        const { ms } = yield* timed(Fiber.join(link))
        expect(ms).toBeLessThan(AT_ONCE)
        expect((yield* Effect.flip(peers.hello(to, ME)))._tag).toBe("PeerRefused")
      }))

    test("a link that is reset has broken, and the peer still answers", ({ peers, reset, serve, to }) =>
      Effect.gen(function* () {
        yield* serve(desk())
        const up = yield* Deferred.make<void>()
        const link = yield* Effect.fork(peers.link(to, ME, () => Deferred.unsafeDone(up, Exit.void)))
        yield* Deferred.await(up)
        yield* reset
        yield* Fiber.join(link)
        expect(yield* peers.hello(to, ME)).toEqual(GREETING)
      }))

    test("a link to a frozen peer goes on standing", ({ deadline, freeze, peers, serve, thaw, to }) =>
      Effect.gen(function* () {
        yield* serve(desk())
        const up = yield* Deferred.make<void>()
        const link = yield* Effect.fork(peers.link(to, ME, () => Deferred.unsafeDone(up, Exit.void)))
        yield* Deferred.await(up)
        yield* freeze
        yield* Effect.sleep(deadline * 2)
        expect(link.unsafePoll()).toBeNull()
        yield* thaw
        yield* Effect.sleep(50)
        expect(link.unsafePoll()).toBeNull()
      }))

    test("a forwarded call brings the request and the answer, with bytes and dates as they were", (h) =>
      Effect.gen(function* () {
        const { peers, serve, to } = h
        const heard: Array<unknown> = []
        yield* serve(
          desk({ call: (method, request) => Effect.sync(() => (heard.push([method, request]), { tags: { a: "ü" } })) })
        )
        expect(yield* peers.call(to, "GetTags", RECEIVE)).toEqual({ tags: { a: "ü" } })
        expect(heard).toEqual([["GetTags", RECEIVE]])
      }))

    test("an error of the manager travels as itself", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const errors = [
          new SendAborted({ id: "c1", sent: "unknown" }),
          new OwnerUnreachable({ owner: "other", executed: "unknown" }),
          new ConnectionNotOpen({ id: "c1", status: "CONNECTION_STATUS_RECONNECTING" })
        ]
        let next = 0
        yield* serve(desk({ call: () => Effect.suspend(() => Effect.fail(errors[next++]!)) }))
        for (const error of errors) expect(yield* Effect.flip(peers.call(to, "Get", RECEIVE))).toEqual(error)
      }))

    test("the caller's remaining time travels along; a caller without a deadline has none there either", (h) =>
      Effect.gen(function* () {
        const { peers, serve, to } = h
        const seen: Array<number> = []
        yield* serve(
          desk({ call: () => Effect.flatMap(CallDeadline, (at) => Effect.sync(() => (seen.push(at), { tags: {} }))) })
        )
        const at = Date.now() + 5_000
        yield* Effect.provideService(peers.call(to, "GetTags", RECEIVE), CallDeadline, at)
        yield* peers.call(to, "GetTags", RECEIVE)
        expect(Math.abs(seen[0]! - at)).toBeLessThan(1_000)
        expect(seen[1]).toBe(Infinity)
      }))

    test("a call whose time is over ends, and is ended at the peer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const ended = yield* Deferred.make<void>()
        const call = Effect.onInterrupt(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), () =>
          Deferred.succeed(ended, undefined)
        )
        yield* serve(desk({ call: () => call }))
        const forwarded = Effect.provideService(peers.call(to, "Get", RECEIVE), CallDeadline, Date.now() + 700)
        expect(yield* Effect.flip(forwarded)).toMatchObject({ _tag: "PeerSilent", sent: true })
        yield* Deferred.await(begun)
        yield* Deferred.await(ended)
      }))

    test("a call that is given up is interrupted at the peer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const ended = yield* Deferred.make<void>()
        const call = Effect.onInterrupt(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), () =>
          Deferred.succeed(ended, undefined)
        )
        yield* serve(desk({ call: () => call }))
        const forwarded = yield* Effect.fork(peers.call(to, "Get", RECEIVE))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(forwarded)
        expect(yield* isDoneWithin(2_000, ended)).toBe(true)
      }))

    test("the process gone, every call under way fails at once as sent", ({ crash, peers, serve, to }) =>
      Effect.gen(function* () {
        const begun: Array<string> = []
        const never = (what: string) =>
          Effect.zipRight(
            Effect.sync(() => begun.push(what)),
            Effect.never
          )
        yield* serve(
          desk({
            probeLease: () => never("ask"),
            call: () => never("call"),
            send: () => Stream.fromEffect(never("send")),
            open: () => Effect.succeed(Stream.fromEffect(never("open")))
          })
        )
        const received = yield* peers.open(to, "Receive", RECEIVE)
        const fibers = yield* Effect.forEach(
          [
            peers.probeLease(to, ME),
            peers.call(to, "Get", RECEIVE),
            Stream.runDrain(peers.send(to, SEND)),
            Stream.runDrain(received)
          ],
          (effect) => Effect.fork(Effect.flip(effect as Effect.Effect<unknown, unknown>))
        )
        yield* until(() => begun.length === 4)
        yield* crash
        const { ms, value } = yield* timed(Fiber.joinAll(fibers))
        for (const failure of value) expect(failure).toMatchObject({ _tag: "PeerSilent", sent: true })
        expect(ms).toBeLessThan(AT_ONCE)
      }))

    test("a peer that ends the call by stopping gives no answer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        yield* serve(desk({ call: () => Effect.interrupt }))
        expect(yield* Effect.flip(peers.call(to, "Get", RECEIVE))).toMatchObject({ _tag: "PeerSilent", sent: true })
      }))

    test("of a forwarded Send it is told that the frame has left, before the reply", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const reply = yield* Deferred.make<void>()
        const response = { response: Uint8Array.of(1, 2), contentType: "text/plain" }
        yield* serve(
          desk({
            send: () =>
              Stream.concat(
                Stream.make<[SendProgress]>({ _tag: "Sent" }),
                Stream.fromEffect(Effect.as(Deferred.await(reply), { _tag: "Replied" as const, response }))
              )
          })
        )
        const got: Array<SendProgress> = []
        yield* Stream.runForEach(peers.send(to, SEND), (progress) => {
          got.push(progress)
          return progress._tag === "Sent" ? Deferred.succeed(reply, undefined) : Effect.void
        })
        expect(got).toMatchObject([{ _tag: "Sent" }, { _tag: "Replied", response: { contentType: "text/plain" } }])
      }))

    test("a stream has begun before its first item, and brings them in order", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        const items = Array.from({ length: 100 }, (_, n) => frame(n))
        yield* serve(
          desk({
            open: () =>
              Effect.succeed(
                Stream.concat(Stream.drain(Stream.fromEffect(Deferred.await(go))), Stream.fromIterable(items))
              )
          })
        )
        const stream = yield* peers.open(to, "Receive", RECEIVE)
        yield* Deferred.succeed(go, undefined)
        const got = Chunk.toReadonlyArray(yield* Stream.runCollect(stream)) as typeof items
        // bytes are bytes, whatever view of them arrives
        expect(got.map((item) => ({ ...item, data: Uint8Array.from(item.data) }))).toEqual(items)
      }))

    test("a stream that is refused does not begin; one that fails later fails with the error", (h) =>
      Effect.gen(function* () {
        const { peers, serve, to } = h
        const error = new ConnectionNotOpen({ id: "c1", status: "CONNECTION_STATUS_CLOSED" })
        let opened = 0
        yield* serve(
          desk({ open: () => Effect.suspend(() => (opened++ === 0 ? error : Effect.succeed(Stream.fail(error)))) })
        )
        expect(yield* Effect.flip(peers.open(to, "Receive", RECEIVE))).toEqual(error)
        const stream = yield* peers.open(to, "Receive", RECEIVE)
        expect(yield* Effect.flip(Stream.runDrain(stream))).toEqual(error)
      }))

    test("a stream that is no longer read ends at the peer", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        yield* serve(
          desk({
            open: () =>
              Effect.as(
                Effect.addFinalizer(() => Deferred.succeed(closed, undefined)),
                Stream.never
              )
          })
        )
        const scope = yield* Scope.make()
        yield* Scope.extend(peers.open(to, "Receive", RECEIVE), scope)
        yield* Scope.close(scope, Exit.void)
        expect(yield* isDoneWithin(2_000, closed)).toBe(true)
      }))

    test("a slow reader holds the stream back", ({ peers, serve, to }) =>
      Effect.gen(function* () {
        let made = 0
        const endless = Stream.repeatEffect(Effect.sync(() => frame(made++)))
        yield* serve(desk({ open: () => Effect.succeed(endless) }))
        const stream = yield* peers.open(to, "Receive", RECEIVE)
        const read = yield* Stream.runCollect(Stream.take(stream, 20))
        yield* Effect.sleep(300)
        expect(read.length).toBe(20)
        expect(made).toBeLessThan(1_000)
      }))
  })
}

export const until = (condition: () => boolean, timeoutMs = 5_000) =>
  Effect.gen(function* () {
    const end = performance.now() + timeoutMs
    while (!condition()) {
      if (performance.now() > end) return yield* Effect.fail(new Error("the condition did not come true"))
      yield* Effect.sleep(5)
    }
  })
