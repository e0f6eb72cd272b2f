import { describe, expect, it } from "vitest"
import * as EgressPolicy from "../../src/socket/EgressPolicy.js"

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

  it("a range that cannot be read is not taken for a name", () => {
    expect(() => policy("public", [], ["10.0.0.0/33"])).toThrow()
  })
})
