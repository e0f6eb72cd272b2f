import { expect, it } from "vitest"
import { parseUrl } from "../../src/domain/Peer.js"

it("a URL is one however often it is asked for, with letters beyond ASCII too; what is none is none", () => {
  const hosts = new Set(Array.from({ length: 20_000 }, () => parseUrl("ws://m\u00fcnchen.example/\u00e4")?.hostname))
  expect([...hosts]).toEqual(["xn--mnchen-3ya.example"])
  expect(parseUrl("ws://a b/")).toBeUndefined()
  expect(parseUrl("")).toBeUndefined()
})
