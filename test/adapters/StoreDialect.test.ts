import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { judge, type Judgement } from "../../src/adapters/dapr/state/StoreDialect.js"

const ALL = ["ETAG", "TRANSACTIONAL", "TTL"]
const judged = (type: string, version = "v1", capabilities: ReadonlyArray<string> = ALL): Judgement =>
  judge({ name: "statestore", type, version, capabilities })
const dialectOf = (type: string, version = "v1") => {
  const judgement = judged(type, version)
  if (judgement._tag === "Refused") throw new Error(judgement.reason)
  return judgement.dialect
}

const ABORTED = 10
const INTERNAL = 13

describe("which state stores are taken", () => {
  it.each([
    ["state.in-memory", "v1"],
    ["state.sqlite", "v1"],
    ["state.postgresql", "v2"],
    ["state.redis", "v1"],
    ["state.redis", ""]
  ])("%s %s is tested", (type, version) => expect(judged(type, version)._tag).toBe("Tested"))

  it.each([
    ["state.etcd", "v1"],
    ["state.etcd", "v2"],
    ["state.mongodb", "v1"],
    ["state.memcached", "v1"]
  ])("%s %s is refused, whatever it says it can", (type, version) =>
    expect(judged(type, version)).toMatchObject({ _tag: "Refused", reason: expect.stringMatching(/\w{4}/) })
  )

  it("a store without etags, or without a time to live, is refused", () => {
    expect(judged("state.cassandra", "v1", ["TTL"])).toMatchObject({ reason: expect.stringContaining("versions") })
    expect(judged("state.whatever", "v1", ["ETAG"])).toMatchObject({ reason: expect.stringContaining("expire") })
    expect(judged("state.redis", "v1", [])._tag).toBe("Refused")
  })

  it.each([
    ["state.mysql", "v1"],
    ["state.postgresql", "v3"],
    ["state.redis", "v2"],
    ["state.azure.cosmosdb", "v1"]
  ])("%s %s is untested", (type, version) => expect(judged(type, version)._tag).toBe("Untested"))

  it("postgresql without its version is v1, which is untested, and the hint says what to write", () =>
    expect(judged("state.postgresql", "")).toMatchObject({
      _tag: "Untested",
      hint: expect.stringContaining("version: v2")
    }))
})

describe("what each store does in its own way", () => {
  it("only redis creates with an etag, and counts", () => {
    expect(dialectOf("state.redis")).toMatchObject({ createEtag: "2147483647", counts: true })
    for (const [type, version] of [
      ["state.sqlite"],
      ["state.in-memory"],
      ["state.postgresql", "v2"],
      ["state.mysql"]
    ]) {
      expect(dialectOf(type!, version)).toMatchObject({ createEtag: undefined, counts: false })
    }
  })

  it("what redis calls a lost race is one only in its script's words; a dead redis says it too", () => {
    const { lost } = dialectOf("state.redis")
    expect(lost({ code: ABORTED, message: "possible etag mismatch: failed to set key a" })).toBe(true)
    expect(lost({ code: ABORTED, message: "possible etag mismatch: dial tcp 127.0.0.1:1: connection refused" })).toBe(
      false
    )
  })

  it("the loser of a create on postgresql is told so by a server error", () => {
    const { lost } = dialectOf("state.postgresql", "v2")
    expect(lost({ code: INTERNAL, message: "failed saving state: no item was updated" })).toBe(true)
    expect(lost({ code: INTERNAL, message: "failed to connect" })).toBe(false)
    expect(lost({ code: ABORTED, message: "" })).toBe(true)
  })

  it.each([
    ["state.redis", "v1", 0.2, "1"],
    ["state.redis", "v1", 2, "2"],
    ["state.postgresql", "v2", 1.5, "2"],
    ["state.sqlite", "v1", 2, "3"],
    ["state.sqlite", "v1", 0.2, "2"]
  ])("%s %s: a time to live of %s s is never cut short: %s", (type, version, ttl, sent) =>
    expect(dialectOf(type, version).ttl(Duration.seconds(ttl))).toBe(sent)
  )

  it("every write says how long it lasts, for ever too", () => {
    for (const [type, version] of [
      ["state.sqlite"],
      ["state.in-memory"],
      ["state.postgresql", "v2"],
      ["state.redis"]
    ]) {
      expect(dialectOf(type!, version).ttl(undefined)).toBe("-1")
    }
  })
})
