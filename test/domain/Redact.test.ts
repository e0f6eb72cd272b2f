import { describe, expect, it } from "vitest"
import { redactUrl } from "../../src/domain/Redact.js"

describe("a shown URL", () => {
  it.each([
    ["wss://h/feed", "wss://h/feed"],
    ["wss://h:8443", "wss://h:8443"],
    ["wss://user:hunter2@h/feed", "wss://h/feed"],
    ["wss://user@h", "wss://h"],
    ["wss://a@b:c@h/x@y", "wss://h/x@y"],
    ["wss://${secret:u}:${secret:vault/pw}@h/p", "wss://h/p"],
    ["WSS://u:p@[::1]:9/", "WSS://[::1]:9/"],
    ["wss://h/?x=u:p@z", "wss://h/?x=u:p@z"],
    ["wss://h?token=hunter2", "wss://h?token=***"],
    ["wss://h/?access_TOKEN=hunter2&b=1", "wss://h/?access_TOKEN=***&b=1"],
    ["wss://h/?a=1&apiKey=hunter2", "wss://h/?a=1&apiKey=***"],
    ["wss://h/?X-Amz-Signature=hunter2", "wss://h/?X-Amz-Signature=***"],
    ["wss://h/?client_secret=hunter2", "wss://h/?client_secret=***"],
    ["wss://h/?authorization=hunter2", "wss://h/?authorization=***"],
    ["wss://h/?password=hunter2", "wss://h/?password=***"],
    ["wss://h/?JSESSIONID=hunter2", "wss://h/?JSESSIONID=***"],
    ["wss://h/?Ticket=hunter2", "wss://h/?Ticket=***"],
    ["wss://h/?%74oken=hunter2", "wss://h/?%74oken=***"],
    ["wss://h/?tok%65n%zz=hunter2", "wss://h/?tok%65n%zz=***"],
    ["wss://h/?token=", "wss://h/?token=***"],
    ["wss://h/?token", "wss://h/?token"],
    ["wss://h/?token=a=b=hunter2", "wss://h/?token=***"],
    ["wss://h/?a=1;token=hunter2;b=2", "wss://h/?a=1;token=***"],
    ["wss://h/?next=/x?token=hunter2", "wss://h/?next=/x?token=***"],
    ["wss://h/?token=${secret:T}", "wss://h/?token=${secret:T}"],
    ["wss://h/?token=${secret:T}hunter2", "wss://h/?token=***"],
    ["wss://h/?token=${hunter2}", "wss://h/?token=***"],
    ["wss://h/${connection:id}?a=${instance:id}&token=x${secret:T}&c=${connection:epoch}", "wss://h/${connection:id}?a=${instance:id}&token=***&c=${connection:epoch}"], // prettier-ignore
    ["wss://h/#access_token=hunter2", "wss://h/#***"],
    ["wss:user:hunter2@h/", "wss:h/"],
    ["wss:\\\\user:hunter2@h/", "wss:\\\\h/"],
    ["", ""]
  ])("%s is shown as %s", (url, shown) => {
    expect(redactUrl(url)).toBe(shown)
  })

  it("never has the secret, wherever it stands in a URL made by chance, and is shown the same a second time", () => {
    const words = ["token", "Key", "SECRET", "sig", "auth", "pass", "session", "ticket"]
    let seed = 7
    const pick = <A>(of: ReadonlyArray<A>): A => of[(seed = (seed * 48271) % 2147483647) % of.length]!
    for (let i = 0; i < 2000; i++) {
      const pairs = Array.from({ length: pick([0, 1, 2, 5]) }, () =>
        pick([
          `${pick(["", "x_", "my"])}${pick(words)}${pick(["", "2", "Id"])}=${pick(["", "${secret:A}", "%20", "a="])}hunter2`,
          `plain${pick(["", "=", "=1", "=${connection:id}", "=a;b", "=a?b"])}`
        ])
      )
      const userinfo = pick(["", "hunter2@", "u:hunter2@", "${secret:u}:hunter2@", "a@hunter2@"])
      const path = pick(["", "/", "/${connection:id}/@", "/a;b"])
      const url = `${pick(["ws", "wss", "WSS"])}://${userinfo}h${pick(["", ":1"])}${path}${pairs.length > 0 ? "?" : ""}${pairs.join("&")}` // prettier-ignore
      const shown = redactUrl(url)
      expect(shown, url).not.toContain("hunter2")
      expect(redactUrl(shown)).toBe(shown)
    }
  })
})
