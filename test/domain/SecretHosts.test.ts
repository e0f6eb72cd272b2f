import { describe, expect, it } from "vitest"
import { refuseBy, secretHostsFault } from "../../src/domain/secrets/SecretHosts.js"
import { canonicalName, isSecretName, twins, variableOf } from "../../src/domain/secrets/SecretName.js"

/** `name=target,target; …` */
const listOf = (text: string) =>
  new Map(
    text
      .split("; ")
      .filter((entry) => entry !== "")
      .map((entry) => [entry.split("=")[0]!, entry.split("=")[1]!.split(",")])
  )

const mayGo = (list: string, name: string, url: string): boolean => {
  expect(secretHostsFault(listOf(list))).toBeUndefined()
  const { hostname, port, protocol } = new URL(url)
  const scheme = protocol === "wss:" ? "wss" : "ws"
  const host = hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "")
  return (
    refuseBy(listOf(list), false)(name, { scheme, host, port: port || (scheme === "wss" ? "443" : "80") }) === undefined
  )
}

describe("where a secret may go", () => {
  it.each([
    ["a=feed.example", "a", "wss://feed.example/x"],
    ["a=feed.example", "A", "wss://feed.example:443/"],
    ["a=FEED.example.", "a", "wss://feed.example/"],
    ["feed-token=h", "Feed.Token", "wss://h/"],
    ["FEED_TOKEN=h", "feed-token", "wss://h/"],
    ["a=h:8443", "a", "wss://h:8443/"],
    ["a=h:*", "a", "wss://h:9/"],
    ["a=ws://h", "a", "ws://h/"],
    ["a=ws://h:8080,h", "a", "ws://h:8080/"],
    ["a=WSS://h:0443", "a", "wss://h/"],
    ["a=*.h", "a", "wss://b.c.h/"],
    ["a=ws://*.h:*", "a", "ws://b.h:1/"],
    ["a=127.0.0.1", "a", "wss://127.0.0.1/"],
    ["a=127.0.0.1", "a", "wss://2130706433/"],
    ["a=0x7f.1", "a", "wss://127.0.0.1/"],
    ["a=::1", "a", "wss://[::1]/"],
    ["a=[0:0:0:0:0:0:0:1]:8443", "a", "wss://[::1]:8443/"],
    ["a=wss://[fd00::1]:*", "a", "wss://[fd00:0::1]:77/"],
    ["a=bücher.example", "a", "wss://xn--bcher-kva.example/"],
    ["a=*", "a", "ws://anywhere:1/"],
    ["a=wss://*", "a", "wss://anywhere/"],
    ["*=*", "a", "ws://anywhere:1/"],
    ["*=h; a=i", "b", "wss://h/"],
    ["v=h", "v/key", "wss://h/"],
    ["v=h; v/key=i", "V/KEY", "wss://i/"],
    ["", "a", "ws://anywhere/"]
  ])("by %j %s may go to %s", (list, name, url) => {
    expect(mayGo(list, name, url)).toBe(true)
  })

  it.each([
    ["a=feed.example", "a", "ws://feed.example/"],
    ["a=feed.example", "a", "ws://feed.example:443/"],
    ["a=feed.example", "a", "wss://feed.example:8443/"],
    ["a=feed.example", "b", "wss://feed.example/"],
    ["feed-token=h", "feed_token", "wss://i/"],
    ["a=ws://h", "a", "wss://h/"],
    ["a=ws://h", "a", "wss://h:80/"],
    ["a=h:8443", "a", "wss://h/"],
    ["a=*.h", "a", "wss://h/"],
    ["a=*.h", "a", "wss://bh/"],
    ["a=*.h", "a", "wss://b.h.evil/"],
    ["a=127.0.0.1", "a", "wss://127.0.0.2/"],
    ["a=wss://*", "a", "ws://h/"],
    ["*=h; a=i", "a", "wss://h/"],
    ["*=*; a=i", "A", "wss://h/"],
    ["*=h", "_", "wss://i/"],
    ["_=i", "x", "wss://i/"],
    ["v=h; v/key=i", "v/key", "wss://h/"],
    ["v/key=i", "v/other", "wss://i/"],
    ["v/key=i", "v", "wss://i/"]
  ])("by %j %s may not go to %s", (list, name, url) => {
    expect(mayGo(list, name, url)).toBe(false)
  })

  it("without a list nowhere, if one is needed", () => {
    const refuse = refuseBy(new Map(), true)
    expect(refuse("a", { scheme: "wss", host: "h", port: "443" })).toBe("WSM_SECRET_HOSTS does not name it")
  })
})

describe("a secret's name", () => {
  it("is one with every name that differs in case, or in . - and _, and no other", () => {
    expect(["Feed-Token", "feed.token", "FEED_TOKEN"].map(canonicalName)).toEqual(Array(3).fill("feed_token"))
    expect(variableOf("Feed-Token")).toBe("WSM_SECRET_VALUE_FEED_TOKEN")
    expect(twins(["a-b", "a", "A.B", "ab", "a/b", "A_b"])).toEqual([
      ["a-b", "A.B"],
      ["a-b", "A_b"]
    ])
  })

  it("has at most one /, and no part that leads elsewhere", () => {
    expect(["a", "a/b", "A.b-c_1/k"].every(isSecretName)).toBe(true)
    expect(["", "/", "a/", "/b", "a/b/c", "a/b/", "../x", "a/..", ".a", "a b", "ü", "a".repeat(129)].some(isSecretName)).toBe(false) // prettier-ignore
  })
})
