/** How a batch becomes requests, and what answers mean that a real sidecar is hard to bring to. */
import { describe, expect, it } from "vitest"
import * as FastCheck from "effect/FastCheck"
import { bulkBody, requestsOf } from "../../src/adapters/dapr/publish/BulkRequests.js"
import { outcomeOf } from "../../src/adapters/dapr/publish/PublishResponse.js"

const bytesOf = (events: ReadonlyArray<string>) =>
  Buffer.byteLength(events.length === 1 ? events[0]! : bulkBody(events))

describe("the requests of a batch", () => {
  it("have all events once, in order, none over the limit, and none that the next one's first would still fit into", () => {
    const event = FastCheck.tuple(FastCheck.constantFrom("a", "é", "€", "😀"), FastCheck.integer({ min: 1, max: 150 }))
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(event, { maxLength: 40 }),
        FastCheck.integer({ min: 700, max: 4000 }),
        (given, limit) => {
          const events = given.map(([character, times]) => JSON.stringify(character.repeat(times)))
          const indices = events.map((_, i) => i * 2)
          const requests = requestsOf(indices, events, limit)
          expect(requests.flatMap((request) => request.events)).toEqual(events)
          expect(requests.flatMap((request) => request.indices)).toEqual(indices)
          for (const [i, request] of requests.entries()) {
            expect(bytesOf(request.events)).toBeLessThanOrEqual(limit)
            const next = requests[i + 1]?.events[0]
            // ids of up to six digits are reckoned with
            if (next !== undefined)
              expect(bytesOf([...request.events, next]) + 6 * (request.events.length + 1)).toBeGreaterThan(limit)
          }
        }
      )
    )
  })

  it("one event may be as large as the limit, where two would not fit", () => {
    const large = "x".repeat(1000)
    expect(requestsOf([0], [large], 1000)).toEqual([{ indices: [0], events: [large] }])
    expect(requestsOf([0, 1], [large, "{}"], 1000)).toEqual([
      { indices: [0], events: [large] },
      { indices: [1], events: ["{}"] }
    ])
    expect(requestsOf([], [], 1000)).toEqual([])
  })
})

describe("what an answer means", () => {
  const verdict = (status: number, body: unknown, entries = 3) =>
    outcomeOf({ status, body: typeof body === "string" ? body : JSON.stringify(body), sent: true }, entries)
  const failed = (...failedEntries: ReadonlyArray<{ readonly entryId: string; readonly error?: string }>) => ({
    failedEntries,
    errorCode: "ERR_PUBSUB_PUBLISH_MESSAGE"
  })

  it("an entry that failed is worth repeating, unless the broker calls it too large", () => {
    expect(verdict(500, failed({ entryId: "1", error: "timeout" }, { entryId: "2" }))).toEqual({
      _tag: "entries",
      failures: [
        { index: 1, transient: true, reason: "timeout" },
        { index: 2, transient: true, reason: "the broker did not take it" }
      ]
    })
    for (const error of [
      "nats: maximum payload exceeded",
      "kafka server: Message was too large, server rejected it to avoid allocation error",
      "kafka: invalid configuration (Attempt to produce message larger than configured Producer.MaxMessageBytes: 2 > 1)"
    ]) {
      expect([error, verdict(500, failed({ entryId: "0", error }))]).toMatchObject([
        error,
        { failures: [{ transient: false }] }
      ])
    }
  })

  it("failures that name no entry of ours say nothing of any", () => {
    for (const entryId of ["3", "-1", "x", "1.5"]) {
      expect(verdict(500, failed({ entryId: "0" }, { entryId }))._tag).toBe("failed")
    }
    expect(verdict(500, failed())._tag).toBe("failed")
    expect(verdict(500, "")._tag).toBe("failed")
    expect(verdict(502, "<html>bad gateway</html>")._tag).toBe("failed")
  })

  it("a wrong token, too many requests and a proxy's trouble cost no event", () => {
    for (const status of [401, 408, 429, 500, 502, 503, 504]) expect(verdict(status, "no")._tag).toBe("failed")
    expect(verdict(401, "invalid api token")).toMatchObject({
      reason: expect.stringContaining("DAPR_API_TOKEN") as string
    })
  })

  it("400 may be the fault of one, 403 and 404 are of the topic", () => {
    expect(verdict(400, { errorCode: "ERR_PUBSUB_EVENTS_SER", message: "m" })).toMatchObject({
      _tag: "refused",
      all: false
    })
    expect(verdict(413, "")).toMatchObject({ _tag: "refused", all: false })
    for (const status of [403, 404]) {
      expect(verdict(status, { errorCode: "ERR_PUBSUB_FORBIDDEN", message: "m" })).toMatchObject({
        _tag: "refused",
        all: true
      })
    }
  })

  it("what is denied by something other than Dapr's publish API costs no event, and says where to look", () => {
    for (const status of [400, 403, 404]) {
      for (const body of [
        "404 page not found",
        "",
        "<html>",
        '{"message":"no such page"}',
        '{"errorCode":7}',
        "null"
      ]) {
        expect([body, verdict(status, body)]).toMatchObject([body, { _tag: "failed" }])
      }
      const { reason } = verdict(status, "404 page not found") as { readonly reason: string }
      expect(reason).toMatch(/page not found.*spec\.api\.allowed.*DAPR_HTTP_PORT/)
    }
    expect(verdict(400, "stream too large")).toMatchObject({ _tag: "refused", all: false })
  })
})
