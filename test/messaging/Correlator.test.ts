import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { InvalidRequest, SendTimeout } from "../../src/domain/Errors.js"
import { CALLER } from "../../src/domain/Limits.js"
import type { ResolvedCorrelation } from "../../src/domain/Spec.js"
import * as Correlator from "../../src/messaging/correlation/Correlator.js"
import type { CorrelatorRequest } from "../../src/messaging/correlation/ReplyMatcher.js"

const JSON_FIELD: ResolvedCorrelation = { mode: "json-field", requestPath: "$.id", replyPath: "$.id" }
const ENVELOPE: ResolvedCorrelation = { ...JSON_FIELD, mode: "envelope" }
const PREFIX: ResolvedCorrelation = { ...JSON_FIELD, mode: "prefix" }
const NEXT: ResolvedCorrelation = { ...JSON_FIELD, mode: "next" }

/** A connection whose socket takes everything at once and keeps what it took. */
const connection = () => {
  const budget = new ByteBudget(1000)
  let outOfStep = 0
  const correlator = Correlator.make("c1", { budget, outOfStep: () => outOfStep++ })
  const sent: Array<{ readonly message: Buffer; readonly binary: boolean }> = []
  const send = (message: Uint8Array, binary: boolean, handed: () => void) =>
    Effect.sync(() => {
      handed()
      sent.push({ message: Buffer.from(message), binary })
    })
  return {
    budget,
    outOfStep: () => outOfStep,
    correlator,
    sent,
    texts: () => sent.map(({ message }) => message.toString()),
    reply: (content: string | Buffer) =>
      correlator.tryMatch(Buffer.isBuffer(content) ? content : Buffer.from(content), Buffer.isBuffer(content)),
    ask: (
      message: string | Uint8Array,
      correlation = JSON_FIELD,
      options: Partial<CorrelatorRequest<"refused">> = {}
    ) =>
      correlator.request({
        message: typeof message === "string" ? Buffer.from(message) : message,
        binary: false,
        correlation,
        timeoutMs: 1000,
        send,
        ...options
      })
  }
}

/** Starts a request and lets it reach the socket. */
const begin = <A, E>(request: Effect.Effect<A, E>) =>
  Effect.tap(Effect.fork(request), () => Effect.repeatN(Effect.yieldNow(), 3))

const textOf = <E>(fiber: Fiber.Fiber<{ readonly response: Uint8Array }, E>) =>
  Effect.map(Fiber.join(fiber), ({ response }) => Buffer.from(response).toString())

describe("JSON_FIELD", () => {
  it.effect("puts an unused positive integer in, and every other byte stays", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, texts } = connection()
      const fiber = yield* begin(ask('{ "price":1.0,"big":12345678901234567890}'))
      expect(texts()).toEqual(['{"id":1, "price":1.0,"big":12345678901234567890}'])
      expect(correlator.waiting()).toBe(true)
      expect(reply('{"other":1}')).toBe(false)
      expect(reply('{"id":2}')).toBe(false)
      expect(reply('{"id":"1"}')).toBe(false)
      expect(reply("no json")).toBe(false)
      expect(reply('{ "result":1.0, "id":1 }')).toBe(true)
      expect(yield* Fiber.join(fiber)).toEqual({
        response: Buffer.from('{ "result":1.0, "id":1 }'),
        contentType: "text/plain"
      })
      expect(correlator.waiting()).toBe(false)
      expect(reply('{"id":1}')).toBe(false)
    })
  )

  it.effect("a given id keeps its JSON type, and the message goes out as it came", () =>
    Effect.gen(function* () {
      const { ask, reply, texts } = connection()
      const ids = ["1", '"1"', '"\\u0031x"', "12345678901234567890", "null", "-0.5e1", '{"a":[1]}', "true", '""']
      const fibers = yield* Effect.forEach(ids, (id) => begin(ask(`{"id": ${id} }`)))
      expect(texts()).toEqual(ids.map((id) => `{"id": ${id} }`))
      for (const [i, id] of ids.entries()) {
        const echoed = id === '"\\u0031x"' ? '"1x"' : id
        expect(reply(`{"n":${i},"id":${echoed}}`)).toBe(true)
        expect(yield* textOf(fibers[i]!)).toBe(`{"n":${i},"id":${echoed}}`)
      }
    })
  )

  it.effect("an id that is put in never meets one that was given", () =>
    Effect.gen(function* () {
      const { ask, texts } = connection()
      yield* begin(ask('{"id":1}'))
      yield* begin(ask('{"id":2}', { ...JSON_FIELD, replyPath: "$.reply" }))
      yield* begin(ask("{}"))
      yield* begin(ask("{}"))
      expect(texts().slice(2)).toEqual(['{"id":3}', '{"id":4}'])
    })
  )

  it.effect("the paths of request and reply may differ, and several pairs may be in use at once", () =>
    Effect.gen(function* () {
      const { ask, reply, texts } = connection()
      const nested = { ...JSON_FIELD, requestPath: "$.meta['req.id']", replyPath: "$[0]" }
      const a = yield* begin(ask('{"meta":{}}', nested))
      const b = yield* begin(ask("{}"))
      expect(texts()).toEqual(['{"meta":{"req.id":1}}', '{"id":2}'])
      expect(reply("[2]")).toBe(false)
      expect(reply('[1,"first"]')).toBe(true)
      expect(reply('{"id":2}')).toBe(true)
      expect(yield* textOf(a)).toBe('[1,"first"]')
      expect(yield* textOf(b)).toBe('{"id":2}')
    })
  )

  it.effect("at so many reply paths at a time a further one is refused, one that is in use is not", () =>
    Effect.gen(function* () {
      const c = connection()
      const at = (i: number) => ({ ...JSON_FIELD, requestPath: `$.id${i}`, replyPath: `$.id${i}` })
      const first = yield* begin(c.ask("{}", at(0)))
      for (let i = 1; i < CALLER.REPLY_PATHS; i++) yield* begin(c.ask("{}", at(i)))
      const refused = yield* Effect.flip(c.ask("{}", at(CALLER.REPLY_PATHS)))
      expect(refused).toMatchObject({ _tag: "BufferFull", what: expect.stringContaining("reply paths") })
      yield* begin(c.ask("{}", at(1)))
      expect(c.sent.length).toBe(CALLER.REPLY_PATHS + 1)
      expect(c.reply('{"id0":1}')).toBe(true)
      yield* Fiber.join(first)
      yield* begin(c.ask("{}", at(CALLER.REPLY_PATHS)))
      expect(c.sent.length).toBe(CALLER.REPLY_PATHS + 2)
    })
  )

  it.effect(
    "a frame that is too large to be looked into is no reply by its JSON; in the other modes size does not matter",
    () =>
      Effect.gen(function* () {
        const c = connection()
        const waiting = yield* begin(c.ask('{"id":1}'))
        const wrapped = yield* begin(c.ask("x", ENVELOPE))
        const reply = Buffer.from('{"id":1,"payload":7}')
        expect(c.correlator.tryMatch(reply, false, reply.length - 1)).toBe(false)
        expect(c.correlator.tryMatch(reply, false, reply.length)).toBe(true)
        yield* Fiber.join(waiting)
        yield* Fiber.interrupt(wrapped)
        const next = yield* begin(c.ask("x", NEXT))
        expect(c.correlator.tryMatch(reply, false, 1)).toBe(true)
        expect(yield* textOf(next)).toBe(reply.toString())
      })
  )

  it.effect("replies may come as binary frames that hold JSON", () =>
    Effect.gen(function* () {
      const { ask, reply, sent } = connection()
      const fiber = yield* begin(ask("{}", JSON_FIELD, { binary: true }))
      expect(sent[0]!.binary).toBe(true)
      expect(reply(Buffer.from([0x7b, 0xff]))).toBe(false)
      expect(reply(Buffer.from('{"id":1}'))).toBe(true)
      expect((yield* Fiber.join(fiber)).contentType).toBe("application/octet-stream")
    })
  )

  it.effect.each([
    ["", "$.id"],
    ["[]", "$.id"],
    ['"text"', "$.id"],
    ["7", "$.id"],
    ["{", "$.id"],
    ['{"a":1}x', "$.id"],
    ["{}", "$.a.id"],
    ['{"a":[]}', "$.a[0]"]
  ] as const)("the message %j with an id at %s is refused, and nothing is sent", ([message, requestPath]) =>
    Effect.gen(function* () {
      const { ask, correlator, sent } = connection()
      const correlation = { ...JSON_FIELD, requestPath, replyPath: requestPath }
      const error = yield* Effect.flip(ask(message, correlation))
      expect(error).toMatchObject({ _tag: "InvalidRequest", field: "message" })
      expect(sent).toEqual([])
      expect(correlator.waiting()).toBe(false)
    })
  )

  it.effect("a message that is not UTF-8 and a path that cannot be read are refused", () =>
    Effect.gen(function* () {
      const { ask } = connection()
      const utf8 = yield* Effect.flip(ask(Uint8Array.from([0x7b, 0xff, 0x7d])))
      expect(utf8).toEqual(new InvalidRequest({ field: "message", reason: "is not UTF-8" }))
      const path = yield* Effect.flip(ask("{}", { ...JSON_FIELD, requestPath: "id" }))
      expect(path).toMatchObject({ _tag: "InvalidRequest", field: "correlation.requestPath" })
    })
  )

  it.effect("an id that is in flight already is refused, and may be used again afterwards", () =>
    Effect.gen(function* () {
      const { ask, reply } = connection()
      const first = yield* begin(ask('{"id":"a"}'))
      expect(yield* Effect.flip(ask('{"x":1,"id":"\\u0061"}'))).toMatchObject({ _tag: "InvalidRequest" })
      expect(reply('{"id":"a"}')).toBe(true)
      yield* Fiber.join(first)
      const again = yield* begin(ask('{"id":"a"}'))
      expect(reply('{"id":"a","n":2}')).toBe(true)
      expect(yield* textOf(again)).toBe('{"id":"a","n":2}')
    })
  )

  it.live("five thousand requests in flight are answered in any order, each with its own", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply } = connection()
      const n = 5000
      const fibers = yield* Effect.forEach(Array.from({ length: n }), () =>
        Effect.fork(ask("{}", JSON_FIELD, { timeoutMs: 60_000 }))
      )
      yield* Effect.repeatN(Effect.yieldNow(), 3)
      for (let id = n; id >= 1; id--) expect(reply(`{"v":${id * 2},"id":${id}}`)).toBe(true)
      const replies = yield* Effect.forEach(fibers, textOf)
      const values = replies.map((text) => JSON.parse(text) as { id: number; v: number })
      expect(new Set(values.map(({ id }) => id)).size).toBe(n)
      expect(values.every(({ id, v }) => v === id * 2)).toBe(true)
      expect(correlator.waiting()).toBe(false)
    })
  )
})

describe("ENVELOPE", () => {
  it.effect("wraps the message as a JSON string, and gives a string payload back as its text", () =>
    Effect.gen(function* () {
      const { ask, reply, texts } = connection()
      const fiber = yield* begin(ask('say "hi"\n', ENVELOPE))
      expect(JSON.parse(texts()[0]!)).toEqual({ id: 1, message: 'say "hi"\n' })
      expect(reply('{"id":1,"status":"working"}')).toBe(false)
      expect(reply('{"id":1,"payload":"it\\u0027s \\"me\\""}')).toBe(true)
      expect(yield* Fiber.join(fiber)).toEqual({ response: Buffer.from('it\'s "me"'), contentType: "text/plain" })
    })
  )

  it.effect("gives any other payload back as its JSON, byte for byte", () =>
    Effect.gen(function* () {
      const { ask, reply } = connection()
      for (const [i, payload] of ['{ "a":1.0 }', "12345678901234567890", "null", "[ ]"].entries()) {
        const fiber = yield* begin(ask("m", ENVELOPE))
        expect(reply(`{"payload" : ${payload} ,"id":${i + 1}}`)).toBe(true)
        const { contentType, response } = yield* Fiber.join(fiber)
        expect(Buffer.from(response).toString()).toBe(payload)
        expect(contentType).toBe("application/json")
      }
    })
  )

  it.effect("an empty message and one that is not UTF-8 are refused", () =>
    Effect.gen(function* () {
      const { ask } = connection()
      for (const message of [new Uint8Array(), Uint8Array.from([0xff])]) {
        expect(yield* Effect.flip(ask(message, ENVELOPE))).toMatchObject({ _tag: "InvalidRequest", field: "message" })
      }
    })
  )
})

describe("PREFIX", () => {
  it.effect("puts sixteen bytes of a UUID in front, and gives the reply back without them", () =>
    Effect.gen(function* () {
      const { ask, reply, sent } = connection()
      const fiber = yield* begin(ask(Uint8Array.from([1, 255]), PREFIX))
      const { binary, message } = sent[0]!
      expect(binary).toBe(true)
      expect(message.length).toBe(18)
      expect(message[6]! >> 4).toBe(4)
      expect([...message.subarray(16)]).toEqual([1, 255])
      expect(reply(Buffer.alloc(16))).toBe(false)
      expect(reply(message.subarray(0, 15))).toBe(false)
      expect(reply(Buffer.concat([message.subarray(0, 16), Buffer.from([9, 0])]))).toBe(true)
      expect(yield* Fiber.join(fiber)).toEqual({
        response: Buffer.from([9, 0]),
        contentType: "application/octet-stream"
      })
    })
  )

  it.effect("a text frame is never a reply, and a reply may be empty", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, sent } = connection()
      const fiber = yield* begin(ask("x", PREFIX))
      const id = sent[0]!.message.subarray(0, 16)
      expect(correlator.tryMatch(id, false)).toBe(false)
      expect(reply(Buffer.from(id))).toBe(true)
      expect((yield* Fiber.join(fiber)).response.length).toBe(0)
    })
  )
})

describe("NEXT", () => {
  it.effect("the next frame is the reply, whatever it is, and an empty message is one", () =>
    Effect.gen(function* () {
      const { ask, reply, sent } = connection()
      const fiber = yield* begin(ask("", NEXT))
      expect(sent[0]!.message.length).toBe(0)
      expect(reply("not json")).toBe(true)
      expect(yield* textOf(fiber)).toBe("not json")
      expect(reply("another")).toBe(false)
    })
  )

  it.effect("a second request waits its turn, in the order of coming", () =>
    Effect.gen(function* () {
      const { ask, reply, texts } = connection()
      const fibers = yield* Effect.forEach(["a", "b", "c"], (m) => begin(ask(m, NEXT)))
      for (const [i, fiber] of fibers.entries()) {
        expect(texts()).toEqual(["a", "b", "c"].slice(0, i + 1))
        expect(reply(`reply ${i}`)).toBe(true)
        expect(yield* textOf(fiber)).toBe(`reply ${i}`)
        yield* Effect.repeatN(Effect.yieldNow(), 3)
      }
    })
  )

  it.effect("waiting for its turn counts against its timeout, and it is never sent afterwards", () =>
    Effect.gen(function* () {
      const { ask, reply, texts } = connection()
      const first = yield* begin(ask("a", NEXT, { timeoutMs: 10_000 }))
      const second = yield* begin(ask("b", NEXT, { timeoutMs: 1000 }))
      const third = yield* begin(ask("c", NEXT, { timeoutMs: 10_000 }))
      yield* TestClock.adjust(1000)
      expect(yield* Effect.flip(Fiber.join(second))).toEqual(new SendTimeout({ id: "c1" }))
      expect(reply("1")).toBe(true)
      expect(yield* textOf(first)).toBe("1")
      yield* Effect.repeatN(Effect.yieldNow(), 3)
      expect(texts()).toEqual(["a", "c"])
      expect(reply("3")).toBe(true)
      expect(yield* textOf(third)).toBe("3")
    })
  )

  it.effect("a reply that another mode waits for goes there first", () =>
    Effect.gen(function* () {
      const { ask, reply } = connection()
      const next = yield* begin(ask("a", NEXT))
      const field = yield* begin(ask('{"id":7}'))
      expect(reply('{"id":7}')).toBe(true)
      expect(yield* textOf(field)).toBe('{"id":7}')
      expect(reply('{"id":8}')).toBe(true)
      expect(yield* textOf(next)).toBe('{"id":8}')
    })
  )
})

describe.each([
  ["JSON_FIELD", JSON_FIELD, '{"id":5}'],
  ["ENVELOPE", ENVELOPE, "x"],
  ["PREFIX", PREFIX, "x"],
  ["NEXT", NEXT, "x"]
] as const)("in mode %s", (mode, correlation, message) => {
  const lateReply = (sent: Buffer): Buffer =>
    mode === "PREFIX" ? sent.subarray(0, 16) : Buffer.from(mode === "ENVELOPE" ? '{"id":1,"payload":1}' : '{"id":5}')

  it.effect("the deadline frees the slot, and a reply that comes too late is an ordinary frame", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, sent } = connection()
      const fiber = yield* begin(ask(message, correlation))
      yield* TestClock.adjust(999)
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust(1)
      expect(yield* Effect.flip(Fiber.join(fiber))).toEqual(new SendTimeout({ id: "c1" }))
      // In mode NEXT its place is taken until its reply has come.
      expect(correlator.waiting()).toBe(mode === "NEXT")
      expect(reply(lateReply(sent[0]!.message))).toBe(false)
      yield* begin(ask(message, correlation))
      expect(sent.length).toBe(2)
    })
  )

  it.effect("an interruption frees the slot", () =>
    Effect.gen(function* () {
      const { ask, correlator, reply, sent } = connection()
      const fiber = yield* begin(ask(message, correlation))
      yield* Fiber.interrupt(fiber)
      expect(correlator.waiting()).toBe(mode === "NEXT")
      expect(reply(lateReply(sent[0]!.message))).toBe(false)
      yield* begin(ask(message, correlation))
      expect(sent.length).toBe(2)
    })
  )

  it.effect("the end of the socket ends what was sent, and the next socket starts afresh", () =>
    Effect.gen(function* () {
      const { ask, correlator } = connection()
      const fiber = yield* begin(ask(message, correlation))
      correlator.abort()
      expect(correlator.waiting()).toBe(false)
      expect(yield* Effect.flip(Fiber.join(fiber))).toEqual({ _tag: "RequestAborted", sent: "yes" })
      const again = yield* begin(ask(message, correlation))
      expect(correlator.waiting()).toBe(true)
      yield* Fiber.interrupt(again)
    })
  )

  it.effect("what the socket refused is told as it refused it, and frees the slot", () =>
    Effect.gen(function* () {
      const { ask, correlator } = connection()
      const refused = ask(message, correlation, { send: () => Effect.fail("refused" as const) })
      expect(yield* Effect.flip(refused)).toBe("refused")
      expect(correlator.waiting()).toBe(false)
    })
  )

  it.effect("a reply that comes before the socket has told that it took the message is kept", () =>
    Effect.gen(function* () {
      const { ask, correlator } = connection()
      const echo = (out: Uint8Array, binary: boolean) =>
        Effect.sync(() => {
          const content = mode === "ENVELOPE" ? Buffer.from('{"id":1,"payload":"p"}') : Buffer.from(out)
          expect(correlator.tryMatch(content, binary)).toBe(true)
        })
      const result = yield* Effect.either(ask(message, correlation, { send: echo }))
      expect(Either.isRight(result)).toBe(true)
    })
  )
})

describe("the end of the socket", () => {
  it.effect("ends a NEXT request that waits its turn as not sent", () =>
    Effect.gen(function* () {
      const { ask, correlator, sent } = connection()
      const fibers = yield* Effect.forEach(["a", "b"], (m) => begin(ask(m, NEXT)))
      correlator.abort()
      const exits = yield* Effect.forEach(fibers, (fiber) => Effect.flip(Fiber.join(fiber)))
      expect(exits).toEqual([
        { _tag: "RequestAborted", sent: "yes" },
        { _tag: "RequestAborted", sent: "no" }
      ])
      expect(sent.length).toBe(1)
    })
  )

  it.effect("leaves it to the socket to say whether a message that is being handed over left", () =>
    Effect.gen(function* () {
      for (const outcome of [Exit.void, Exit.fail("refused" as const)]) {
        const { ask, correlator } = connection()
        let resume: ((exit: Exit.Exit<void, "refused">) => void) | undefined
        const fiber = yield* begin(
          ask("{}", JSON_FIELD, {
            send: () =>
              Effect.async<void, "refused">((done) => {
                resume = done
              })
          })
        )
        correlator.abort()
        resume!(outcome)
        const error = yield* Effect.flip(Fiber.join(fiber))
        expect(error).toEqual(Exit.isSuccess(outcome) ? { _tag: "RequestAborted", sent: "yes" } : "refused")
      }
    })
  )
})
