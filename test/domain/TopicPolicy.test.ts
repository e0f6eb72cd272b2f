import { describe, expect, it } from "vitest"
import { refuseTopic } from "../../src/domain/validation/TopicPolicy.js"

const judged = (topic: string, topics: ReadonlyArray<string>, lifecycleTopic = "websocketmanager.lifecycle") =>
  refuseTopic(topic, { topics, lifecycleTopic })

describe("the topics that callers may publish to", () => {
  it("are those that a pattern names; a star stands for any characters, none too", () => {
    const allowed: ReadonlyArray<readonly [string, string]> = [
      ["prices", "prices"],
      ["*", "prices"],
      ["prices.*", "prices.btc"],
      ["prices.*", "prices."],
      ["*.raw", "a.raw"],
      ["a*b*c", "abc"],
      ["a*b*c", "a-b-b-c"],
      ["a**c", "ac"],
      ["*ab*ab*", "xababx"]
    ]
    for (const [pattern, topic] of allowed)
      expect(judged(topic, ["none", pattern]), `${pattern} ${topic}`).toBe(undefined)
    const refused: ReadonlyArray<readonly [string, string]> = [
      ["prices", "prices.btc"],
      ["prices.*", "price"],
      ["*.raw", "raw"],
      ["aa*aa", "aaa"],
      ["a*b*c", "acb"],
      ["*ab*ab*", "xabx"],
      ["a*bc*c", "abc"],
      ["PRICES", "prices"]
    ]
    for (const [pattern, topic] of refused)
      expect(judged(topic, [pattern]), `${pattern} ${topic}`).toMatch(/WSM_TOPICS/)
  })

  it("none is allowed where none is named", () => {
    expect(judged("prices", [])).toMatch(/no topic is allowed here.*WSM_TOPICS/)
  })

  it("ours are nobody's, however wide the patterns and wherever our events go", () => {
    for (const topic of [
      "websocketmanager.lifecycle",
      "events",
      "websocketmanager/connections/x",
      "websocketmanager/instances/a/connections/1",
      "app||websocketmanager/instances/_index",
      "websocketmanager-state||x"
    ]) {
      expect(judged(topic, ["*", topic], "events"), topic).toMatch(/the manager's own/)
    }
    expect(judged("websocketmanager.prices", ["*"])).toBe(undefined)
  })

  it("a pattern that is all stars costs no more than its length", () => {
    const began = performance.now()
    for (let i = 0; i < 1000; i++) judged("a".repeat(256), [`${"*a".repeat(128)}b`])
    expect(performance.now() - began).toBeLessThan(2000)
  })
})
