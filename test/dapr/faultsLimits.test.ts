/** Frames whose event is just under and just over WSM_PUBLISH_MAX_BYTES, through a whole manager and a real sidecar. */
import { createHash } from "node:crypto"
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { encode, encodedSize } from "../../src/domain/CloudEvent.js"
import type { Connection } from "../../src/domain/Messages.js"
import { Frame, FramePack } from "../../src/domain/Frame.js"
import type { TopicEvent } from "../../src/ports/PubSub.js"
import * as C from "../support/Components.js"
import { startRedis } from "../support/Redis.js"
import { streamEvents } from "../support/RedisStream.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { subscribe } from "../support/Subscriber.js"
import { eventually, expectSocketsKept, type Feed, judge, sentBy, startManager } from "./judgedFeeds.js"

const TIMEOUT = 120_000
const KIB = 1024

interface Kind {
  readonly name: string
  readonly textContentType?: string
  readonly packed?: boolean
  readonly binary?: boolean
  /** bytes of an event from one length to the next */
  readonly step: number
  /** content that grows with n */
  readonly content: (n: number) => string | Uint8Array
}

/** What grows when it is encoded: quotes, backslashes, line ends, and letters of two to four bytes. */
const JSON_ITEM = '{"k":"é€😀 \\"q\\" \\\\ \\n","n":1234567890123456789}\n'
const JSON_TEXT = `[${Array.from({ length: 400 }, () => JSON_ITEM).join(",")}]`
const json = (n: number): string => JSON_TEXT + " ".repeat(n)
const bytes = (n: number): Uint8Array =>
  Buffer.alloc(
    n,
    Uint8Array.from({ length: 256 }, (_, i) => i)
  )

const KINDS: ReadonlyArray<Kind> = [
  { name: "ascii", step: 1, content: (n) => "x".repeat(n) },
  { name: "json", step: 1, content: json },
  { name: "binary", step: 4, binary: true, content: bytes },
  { name: "json-typed", step: 4, textContentType: "application/json", content: json },
  { name: "packed", step: 1, packed: true, content: json },
  { name: "packed-binary", step: 4, packed: true, binary: true, content: bytes }
]

/** The event of this content as the next frame of a connection. */
const eventOf = (kind: Kind, { epoch, id, instanceId, url }: Connection, sequence: number, n: number): TopicEvent => {
  const origin = {
    connectionId: id,
    connectionUrl: url,
    instanceId,
    epoch,
    textContentType: kind.textContentType ?? "text/plain"
  }
  const data = Buffer.from(kind.content(n) as string)
  const frame = new Frame(origin, sequence, 1_800_000_000_000, kind.binary === true, data)
  return kind.packed === true ? new FramePack(origin, [frame]) : frame
}

/** The longest content whose event has at most so many bytes. Beyond its beginning each kind grows evenly. */
const longest = (kind: Kind, view: Connection, sequence: number, limit: number): number => {
  const size = (n: number) => encodedSize(eventOf(kind, view, sequence, n))
  let n = Math.floor((limit - size(0)) * (kind.step === 1 ? 1 : 3 / 4))
  while (size(n) > limit) n--
  while (size(n + 1) <= limit) n++
  return n
}

const hash = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex").slice(0, 16)

/** The contents of the events of one connection: their bytes, hashed. */
const contentsOf = (events: ReadonlyArray<Record<string, unknown>>, feed: Feed): ReadonlyArray<string> =>
  events
    .filter(({ subject }) => subject === feed.id)
    .flatMap((event) =>
      event["type"] === "websocketmanager.frames"
        ? (event["data"] as ReadonlyArray<{ text?: string; base64?: string }>).map(({ base64, text }) =>
            text === undefined ? Buffer.from(base64!, "base64") : text
          )
        : [(event["data"] as string | undefined) ?? Buffer.from(event["data_base64"] as string, "base64")]
    )
    .map(hash)

requiring("daprd", "redis")("frames at WSM_PUBLISH_MAX_BYTES", () => {
  for (const limit of [64 * KIB, 4096 * KIB]) {
    it.scopedLive(
      `of ${limit / KIB} KiB: just under it they arrive byte for byte, just over it they are dropped, counted and told`,
      () =>
        Effect.gen(function* () {
          const redis = yield* startRedis()
          const sidecar = yield* startSidecar({ resources: [C.stateRedis(redis.port), C.pubsubRedis(redis.port)] })
          const { log, manager, metric, open } = yield* startManager(sidecar, {
            publishMaxBytes: limit,
            // what is worked out here in between may hold it up for a while
            heartbeatInterval: Duration.seconds(5),
            heartbeatTtl: Duration.seconds(20)
          })
          // another application's, with room for the envelope around an event of exactly its own limit
          const theirs = yield* startSidecar({
            appId: "reader",
            resources: [C.pubsubRedis(redis.port)],
            maxBodySize: "16Mi"
          })
          const subscriber = yield* subscribe({ sidecar: theirs, topic: "ascii" })
          const feeds = yield* Effect.forEach(KINDS, ({ name, packed, textContentType = "" }) =>
            open({
              topic: name,
              maxMessageBytes: 16 * KIB * KIB,
              buffer: { maxBytes: 64 * KIB * KIB },
              publishing: {
                packing: packed === true ? "PACKING_PACKED" : "PACKING_SINGLE",
                maxBytes: 4 * limit,
                textContentType
              }
            })
          )
          const wanted: Array<ReadonlyArray<string>> = []
          for (const [i, kind] of KINDS.entries()) {
            const feed = feeds[i]!
            const view = yield* Effect.promise(() => feed.view())
            const under = longest(kind, view, 2, limit)
            // by the encoder itself, whatever counts beforehand
            const size = Buffer.byteLength(encode(eventOf(kind, view, 2, under)))
            expect(size).toBeLessThanOrEqual(limit)
            expect(size).toBeGreaterThan(limit - kind.step)
            const over = longest(kind, view, 4, limit) + 1
            expect(Buffer.byteLength(encode(eventOf(kind, view, 4, over)))).toBeGreaterThan(limit)
            const contents = ["before", kind.content(under), "between", kind.content(over), "after"]
            yield* Effect.sleep(0)
            for (const [n, content] of contents.entries()) {
              feed.send(content)
              // packed: each in a pack of its own
              if (kind.packed === true) {
                yield* eventually(`frame ${n + 1}`, async () => {
                  const { framesDropped, framesPublished } = await feed.view()
                  return framesPublished + framesDropped === n + 1
                })
              }
            }
            wanted.push(contents.filter((_, n) => n !== 3).map((content) => hash(content)))
          }

          const { missing, taken } = yield* judge(feeds, redis.port)
          expect({ taken, missing }).toEqual({ taken: sentBy(feeds) - feeds.length, missing: feeds.length })
          for (const [i, feed] of feeds.entries()) {
            const events = yield* Effect.promise(() => streamEvents(redis.port, feed.topic))
            expect([feed.topic, contentsOf(events, feed)]).toEqual([feed.topic, wanted[i]])
            const view = yield* Effect.promise(() => feed.view())
            expect(view).toMatchObject({ framesReceived: 5, framesPublished: 4, framesDropped: 1 })
            expect(feed.events("gap").map(({ attributes }) => attributes)).toEqual([
              expect.objectContaining({ cause: "publish", lost: "1", lastsequence: "3", firstsequence: "5" })
            ])
          }
          const delivered = yield* subscriber.received(4)
          expect(delivered.map(({ data }) => hash(data))).toEqual(wanted[0])
          expect(metric("frames_dropped_total", { cause: "publish" })).toBe(feeds.length)
          expect(metric("frames_dropped_total")).toBe(feeds.length)
          expect(metric("gaps_total", { cause: "publish" })).toBe(feeds.length)
          const said = log.filter(({ text }) => text.includes("is refused and dropped"))
          expect(said[0]).toMatchObject({ level: "WARN", text: expect.stringContaining("WSM_PUBLISH_MAX_BYTES") })
          expect(manager.events.filter(({ type }) => type === "reconnecting")).toEqual([])
          expectSocketsKept(feeds)
        }),
      TIMEOUT
    )
  }
})
