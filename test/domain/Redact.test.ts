import { describe, expect, it } from "vitest"
import { redactUrl, redactUrlsIn } from "../../src/domain/secrets/Redact.js"

describe("a shown URL", () => {
  it.each([
    ["wss://h/feed", "wss://h/feed"],
    ["wss://h:8443", "wss://h:8443"],
    ["wss://user:hunter2@h/feed", "wss://h/feed"],
    ["wss://user@h", "wss://h"],
    ["wss://a@b:c@h/x@y", "wss://h/x@y"],
    ["wss://${secret:u}:${secret:vault/pw}@h/p", "wss://h/p"],
    ["WSS://u:p@[::1]:9/", "WSS://[::1]:9/"],
    ["wss://h/?x=u:p@z", "wss://h/?x=***"],
    ["wss://h?token=hunter2", "wss://h?token=***"],
    ["wss://h/?pwd=hunter2&jwt=hunter2&code=hunter2&sid=hunter2", "wss://h/?pwd=***&jwt=***&code=***&sid=***"],
    ["wss://h/?otp=hunter2&credential=hunter2&access=hunter2", "wss://h/?otp=***&credential=***&access=***"],
    ["wss://h/?u=hunter2&q=hunter2&id=hunter2&_=hunter2", "wss://h/?u=***&q=***&id=***&_=***"],
    ["wss://h/?%74oken=hunter2", "wss://h/?%74oken=***"],
    ["wss://h/?token=", "wss://h/?token="],
    ["wss://h/?hunter2", "wss://h/?***"],
    ["wss://h/?hunter2&symbol=btc", "wss://h/?***&symbol=btc"],
    ["wss://h/?token=a=b=hunter2", "wss://h/?token=***"],
    ["wss://h/?symbol=1;token=hunter2;symbol=2", "wss://h/?symbol=1;token=***"],
    ["wss://h/?symbol=/x?token=hunter2", "wss://h/?symbol=/x?token=***"],
    ["wss://h/?token=${secret:T}", "wss://h/?token=${secret:T}"],
    ["wss://h/?token=${secret:T}hunter2", "wss://h/?token=***"],
    ["wss://h/?token=${hunter2}", "wss://h/?token=***"],
    ["wss://h/${connection:id}?v=${instance:id}&token=x${secret:T}&v=${connection:epoch}", "wss://h/${connection:id}?v=${instance:id}&token=***&v=${connection:epoch}"], // prettier-ignore
    ["wss://h/?Symbol=BTC-USD&STREAMS=btcusdt@depth20@100ms/ethusdt@trade&api_version=2&product_ids[]=BTC-PERPETUAL-20271231", "wss://h/?Symbol=BTC-USD&STREAMS=btcusdt@depth20@100ms/ethusdt@trade&api_version=2&product_ids[]=BTC-PERPETUAL-20271231"], // prettier-ignore
    ["wss://h/?channel=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl", "wss://h/?channel=***"],
    ["wss://h/?streams=btcusdt/pqia91ma19a5s61cv6a81va65sdf19v8", "wss://h/?streams=btcusdt/***"],
    ["wss://h/?pqia91ma19a5s61cv6a81va65sdf19v8=1", "wss://h/?***=***"],
    ["wss://h/ws/pqia91ma19a5s61cv6a81va65sdf19v8a65a1", "wss://h/ws/***"],
    ["wss://h/ws/QmFzZTY0JTJCaXM%2BbG9uZw%3D%3D/x", "wss://h/ws/***/x"],
    ["wss://h/v2/7f9c24e8-3b12-4f7d-9a51-0c2e8b6d1f43", "wss://h/v2/***"],
    ["wss://h/a/deadbeefdeadbeefcafebabe", "wss://h/a/***"],
    ["wss://h/a/JBSWY3DPEHPK3PXPJBSWY3DP", "wss://h/a/***"],
    ["wss://h/a/x${secret:T}pqia91ma19a5s61cv6a8", "wss://h/a/***"],
    ["wss://h/ws/btcusdt@depth20@100ms", "wss://h/ws/btcusdt@depth20@100ms"],
    ["wss://h/market-data-notifications/v1/bookTickerStream", "wss://h/market-data-notifications/v1/bookTickerStream"],
    ["wss://h/BTC-PERPETUAL-20271231-100000-C", "wss://h/BTC-PERPETUAL-20271231-100000-C"],
    ["wss://h/feed;token=hunter2/x", "wss://h/feed;token=***/x"],
    ["wss://h/#access_token=hunter2", "wss://h/#***"],
    ["wss:user:hunter2@h/", "wss:h/"],
    ["wss:\\\\user:hunter2@h/", "wss:\\\\h/"],
    ["", ""]
  ])("%s is shown as %s", (url, shown) => {
    expect(redactUrl(url)).toBe(shown)
  })

  it("never has the secret, wherever it stands in a URL made by chance, and is shown the same a second time", () => {
    const words = ["token", "Key", "pwd", "q", "code", "x", "session", "ticket", "user", "symbols2"]
    let seed = 7
    const pick = <A>(of: ReadonlyArray<A>): A => of[(seed = (seed * 48271) % 2147483647) % of.length]!
    for (let i = 0; i < 2000; i++) {
      const pairs = Array.from({ length: pick([0, 1, 2, 5]) }, () =>
        pick([
          `${pick(["", "x_", "my"])}${pick(words)}${pick(["", "2", "Id"])}=${pick(["", "${secret:A}", "%20", "a="])}hunter2`,
          `symbol${pick(["", "=", "=1", "=${connection:id}", "=a;b", "=a?b", "=a;hunter2"])}`,
          "hunter2"
        ])
      )
      const userinfo = pick(["", "hunter2@", "u:hunter2@", "${secret:u}:hunter2@", "a@hunter2@"])
      const path = pick(["", "/", "/${connection:id}/@", "/a;b", "/a;b=hunter2", "/hunter2kq93kd84kfa02kd9"])
      const url = `${pick(["ws", "wss", "WSS"])}://${userinfo}h${pick(["", ":1"])}${path}${pairs.length > 0 ? "?" : ""}${pairs.join("&")}` // prettier-ignore
      const hidden: Array<string> = []
      const shown = redactUrl(url, (text) => hidden.push(text))
      expect(shown, url).not.toContain("hunter2")
      expect(hidden.join(" ").includes("hunter2"), url).toBe(url.includes("hunter2"))
      expect(redactUrl(shown)).toBe(shown)
    }
  })

  it("is shown so inside what others say", () => {
    expect(redactUrlsIn("no https://u:hunter2@h/x?pwd=hunter2, nor (ws://h?v=1&t=hunter2) in 'http://hunter2@h'")).toBe(
      "no https://h/x?pwd=*** nor (ws://h?v=1&t=*** in 'http://h'"
    )
    expect(redactUrlsIn("no URL: a//b, https:, file://x?y=z")).toBe("no URL: a//b, https:, file://x?y=z")
  })

  it.each([
    ["parameters", (n: number) => `wss://h/?${"symbol=1;".repeat(n)}`],
    ["parts of a list", (n: number) => `wss://h/?symbol=${"a,".repeat(n)}`],
    ["segments", (n: number) => `wss://h/${"aB1/".repeat(n)}`],
    ["one long word", (n: number) => `wss://h/${"aB".repeat(n)}`],
    ["placeholders", (n: number) => `wss://h/?symbol=${"${secret:a}".repeat(n)}`],
    ["@", (n: number) => `wss://${"@".repeat(n)}h/`]
  ])("costs as much as it is long: %s", (_, made) => {
    const cost = (url: string) =>
      Math.min(
        ...Array.from({ length: 4 }, () => {
          const began = process.cpuUsage()
          for (let i = 0; i < 10; i++) redactUrl(url)
          const { system, user } = process.cpuUsage(began)
          return (user + system) / 1000
        })
      )
    cost(made(500))
    // four times as long: 16 times the cost, were it quadratic
    expect(cost(made(2000)) / Math.max(cost(made(500)), 0.5)).toBeLessThan(10)
  })
})
