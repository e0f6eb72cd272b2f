import { describe, expect, it } from "vitest"
import * as EgressPolicy from "../../src/socket/dial/EgressPolicy.js"
import { growth } from "../support/growth.js"

const policy = (
  egress: "public" | "any",
  allow: Array<string> = [],
  deny: Array<string> = [],
  nat64: Array<string> = []
) => {
  const made = EgressPolicy.make({ egress, egressAllow: allow, egressDeny: deny, egressNat64: nat64 })
  return {
    refuseHost: (host: string, port = 443) => made.refuseHost(host, port),
    refuseAddress: (host: string, address: string, port = 443) => made.refuseAddress(host, address, port)
  }
}

const FORBIDDEN = [
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["::1", "loopback"],
  ["0.0.0.0", "unspecified"],
  ["0.1.2.3", "unspecified"],
  ["::", "unspecified"],
  ["10.0.0.1", "private"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.168.1.1", "private"],
  ["fc00::1", "unique local"],
  ["fdff::1", "unique local"],
  ["169.254.1.1", "link-local"],
  ["fe80::1", "link-local"],
  ["fe80::1%eth0", "link-local"],
  ["169.254.169.254", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["100.100.100.200", "metadata"],
  ["100.64.0.1", "carrier-grade"],
  ["224.0.0.1", "multicast"],
  ["ff02::1", "multicast"],
  ["255.255.255.255", "broadcast"],
  ["240.0.0.1", "reserved"],
  ["192.0.2.1", "reserved"],
  ["198.18.0.1", "reserved"],
  ["203.0.113.7", "reserved"],
  ["192.88.99.1", "reserved"],
  ["100::1", "reserved"],
  ["2001:db8::1", "reserved"],
  ["3fff::1", "reserved"],
  ["fec0::1", "reserved"],
  ["4000::1", "reserved"],
  // forms that carry an IPv4 address
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:7f00:1", "loopback"],
  ["::ffff:169.254.169.254", "metadata"],
  ["::ffff:0:10.0.0.1", "private"],
  ["::10.0.0.1", "private"],
  ["::a00:1", "private"],
  ["64:ff9b::10.0.0.1", "private"],
  ["64:ff9b::a9fe:a9fe", "metadata"],
  ["64:ff9b:1::7f00:1", "loopback"],
  ["64:ff9b:1:c0a8:1:100::", "private"],
  ["64:ff9b:1:10a:0:5:100:0", "private"], // 56 bits of prefix: 10.0.5.1
  ["64:ff9b:1:17f:0:1:900:0", "loopback"], // 56 bits: 127.0.1.9
  ["64:ff9b:1:101:a:5:900:0", "private"], // 64 bits: 10.0.5.9
  ["64:ff9b:1:1:7f:0:100:0", "loopback"], // 64 bits: 127.0.0.1
  ["64:ff9b:1:aa00:0:5:a9fe:a9fe", "metadata"], // 96 bits
  ["64:ff9b:1:a00:0:1ff:808:808", "private"], // 48 bits, and behind it what a gateway ignores: 10.0.0.1
  ["168.63.129.16", "platform"],
  ["::ffff:168.63.129.16", "platform"],
  ["64:ff9b::a83f:8110", "platform"],
  // ISATAP, in any prefix
  ["2606:4700::5efe:10.0.0.1", "private"],
  ["2606:4700::200:5efe:169.254.169.254", "metadata"],
  ["fe80::5efe:8.8.8.8", "link-local"],
  ["fd00::200:5efe:808:808", "unique local"],
  ["2002:7f00:1::1", "loopback"],
  ["2002:c0a8:101::", "private"],
  ["2001:0:808:808:0:0:f5ff:fffe", "private"], // Teredo: client 10.0.0.1, inverted
  ["2001:0:a00:1::f7f7:f7f7", "private"], // Teredo: server 10.0.0.1
  ["not an address", "cannot be read"]
] as const

const PUBLIC = [
  "8.8.8.8",
  "1.1.1.1",
  "172.15.0.1",
  "172.32.0.1",
  "100.63.255.255",
  "100.128.0.1",
  "2606:4700:4700::1111",
  "::ffff:8.8.8.8",
  "::808:808",
  "64:ff9b::808:808",
  "64:ff9b:1::808:808",
  "64:ff9b:1:808:8:800::",
  "64:ff9b:1:80a:10:100::", // 48 bits: 8.10.16.1
  "64:ff9b:1:108:8:808::", // 56 bits: 8.8.8.8
  "64:ff9b:1:101:8:808:800:0", // 64 bits: 8.8.8.8
  "64:ff9b:1:aa00::808:808",
  "2606:4700::5efe:8.8.8.8",
  "2002:808:808::1",
  "2001:0:808:808::f7f7:f7f7"
]

describe("EgressPolicy", () => {
  it.each(FORBIDDEN)("public refuses %s as %s", (address, word) => {
    expect(policy("public").refuseAddress("feed.example.com", address)).toContain(word)
  })

  it.each(PUBLIC)("public lets %s through", (address) => {
    expect(policy("public").refuseAddress("feed.example.com", address)).toBeUndefined()
  })

  it.each(FORBIDDEN.slice(0, -1))("any lets %s through", (address) => {
    expect(policy("any").refuseAddress("feed.example.com", address)).toBeUndefined()
  })

  it("the URL parser has turned every spelling of an IPv4 address into the plain one", () => {
    const spellings = ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "①②⑦.0.0.1"]
    expect(spellings.map((host) => new URL(`ws://${host}/`).hostname)).toEqual(Array(7).fill("127.0.0.1"))
    expect(policy("public").refuseHost(new URL("ws://[::FFFF:127.0.0.1]/").hostname)).toContain("loopback")
  })

  it("literal addresses are judged before anything is resolved, names are not", () => {
    expect(policy("public").refuseHost("10.0.0.1")).toContain("private")
    expect(policy("public").refuseHost("[::1]")).toContain("loopback")
    expect(policy("public").refuseHost("localhost")).toBeUndefined()
    expect(policy("public").refuseAddress("localhost", "127.0.0.1")).toContain("loopback")
  })

  it("an allowed name, suffix, address or range beats public", () => {
    const p = policy("public", ["Feed.internal", "*.corp.example", "10.1.0.0/16", "192.168.7.7", "[fd00::5]"])
    expect(p.refuseAddress("feed.internal.", "10.0.0.1")).toBeUndefined()
    expect(p.refuseAddress("a.b.corp.example", "127.0.0.1")).toBeUndefined()
    expect(p.refuseAddress("corp.example", "127.0.0.1")).toContain("loopback")
    expect(p.refuseAddress("x.example", "10.1.2.3")).toBeUndefined()
    expect(p.refuseAddress("x.example", "::ffff:10.1.2.3")).toBeUndefined()
    expect(p.refuseAddress("x.example", "64:ff9b::10.1.2.3")).toContain("private")
    expect(p.refuseHost("192.168.7.7")).toBeUndefined()
    expect(p.refuseHost("192.168.7.8")).toContain("private")
    expect(p.refuseHost("fd00::5")).toBeUndefined()
  })

  it("denied beats allowed, in every mode and form", () => {
    const lists = [["*.example"], ["bad.example", "8.8.0.0/16", "2001:db8::/32"]] as const
    for (const p of [policy("public", [...lists[0]], [...lists[1]]), policy("any", [...lists[0]], [...lists[1]])]) {
      expect(p.refuseHost("BAD.example")).toContain("denied")
      expect(p.refuseAddress("bad.example", "1.1.1.1")).toContain("denied")
      expect(p.refuseAddress("good.example", "8.8.8.8")).toContain("denied")
      expect(p.refuseAddress("good.example", "64:ff9b::8.8.8.8")).toContain("denied")
      expect(p.refuseAddress("good.example", "2001:db8::9")).toContain("denied")
      expect(p.refuseAddress("good.example", "1.1.1.1")).toBeUndefined()
    }
  })

  it("an entry with a port is about that port alone, in every form", () => {
    const entries = ["10.0.0.5:8443", "[::1]:9000", "feed.internal:443", "*.corp.example:8080", "192.168.0.0/16:7000"]
    const allowed = policy("public", [...entries, "[fd00::/8]:7001"])
    const refused = (host: string, address: string, port: number) =>
      allowed.refuseAddress(host, address, port) !== undefined
    for (const [host, address, port] of [
      ["x.example", "10.0.0.5", 8443],
      ["x.example", "::ffff:10.0.0.5", 8443],
      ["x.example", "::1", 9000],
      ["feed.internal", "10.9.9.9", 443],
      ["a.corp.example", "127.0.0.1", 8080],
      ["x.example", "192.168.3.4", 7000],
      ["x.example", "fd00::9", 7001]
    ] as const) {
      expect([host, address, refused(host, address, port)]).toEqual([host, address, false])
      expect([host, address, refused(host, address, port + 1)]).toEqual([host, address, true])
    }
    expect(allowed.refuseHost("10.0.0.5", 8443)).toBeUndefined()
    expect(allowed.refuseHost("10.0.0.5", 22)).toContain("private")
    const denied = policy("any", [], ["bad.example:25", "8.8.8.8:53", "bad.example:587"])
    expect(denied.refuseHost("bad.example", 25)).toContain("denied")
    expect(denied.refuseHost("bad.example", 587)).toContain("denied")
    expect(denied.refuseHost("bad.example", 443)).toBeUndefined()
    expect(denied.refuseAddress("good.example", "64:ff9b::8.8.8.8", 53)).toContain("denied")
    expect(denied.refuseAddress("good.example", "8.8.8.8", 443)).toBeUndefined()
  })

  it("a host and its port are read apart, brackets or not", () => {
    expect(
      ["feed.example:443", "[::1]:80", "::1", "[::1]", "10.0.0.1", "10.0.0.0/8:1", "Feed.Example."].map(
        EgressPolicy.splitHostPort
      )
    ).toEqual([
      ["feed.example", 443],
      ["::1", 80],
      ["::1", 0],
      ["::1", 0],
      ["10.0.0.1", 0],
      ["10.0.0.0/8", 1],
      ["feed.example", 0]
    ])
  })

  it("a NAT64 prefix that the operator names is judged by what it carries, at each length of RFC 6052", () => {
    const carrying = {
      "2001:4:a::/32": ["2001:4:c0a8:221::", "2001:4:808:808::"],
      "2a00:1:c000::/40": ["2a00:1:c0c0:a802:21::", "2a00:1:c008:808:8::"],
      "2a00:1:122::/48": ["2a00:1:122:c0a8:2:2100::", "2a00:1:122:808:8:800::"],
      "2a00:1:122:300::/56": ["2a00:1:122:3c0:a8:221::", "2a00:1:122:308:8:808::"],
      "2a00:1:122:344::/64": ["2a00:1:122:344:c0:a802:2100::", "2a00:1:122:344:8:808:800::"],
      "2a00:1:122:344::/96": ["2a00:1:122:344::c0a8:221", "2a00:1:122:344::808:808"]
    }
    for (const [prefix, [inside = "", outside = ""]] of Object.entries(carrying)) {
      const named = policy("public", [], [], [prefix])
      expect([prefix, named.refuseAddress("x.example", inside)]).toEqual([prefix, expect.stringContaining("private")])
      expect([prefix, named.refuseAddress("x.example", outside)]).toEqual([prefix, undefined])
      expect(policy("public", [], ["192.168.2.33"], [prefix]).refuseAddress("x.example", inside)).toContain("denied")
    }
    // its own word beats what the form of the local prefix could be
    const local = policy("public", [], [], ["64:ff9b:1:a00::/96"])
    expect(local.refuseAddress("x.example", "64:ff9b:1:a00:0:0:808:808")).toBeUndefined()
  })

  it("costs as much as the list is long, whatever is in it", () => {
    const of = (n: number) => {
      const names = Array.from({ length: n }, (_, i) => `a${i}.example:${(i % 60_000) + 1}`)
      const same = Array.from({ length: n }, (_, i) => `same.example:${(i % 60_000) + 1}`)
      const ranges = Array.from({ length: n }, (_, i) => `10.${(i >> 8) & 255}.${i & 255}.0/24:9`)
      const colons = Array.from({ length: n / 100 }, () => `[${"]:".repeat(100)}`)
      return () => {
        const made = policy("public", [...names, ...same, ...ranges])
        for (const one of colons) EgressPolicy.splitHostPort(one)
        for (let i = 0; i < 5; i++) made.refuseAddress("same.example", "10.200.1.1", 70_000)
      }
    }
    expect(growth(of(2000), of(4000), 2.5)).toBeLessThan(2.5)
  })

  it("a range that cannot be read is not taken for a name", () => {
    expect(() => policy("public", [], ["10.0.0.0/33"])).toThrow()
  })
})
