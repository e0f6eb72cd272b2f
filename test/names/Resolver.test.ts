/** Names against a real name server on loopback, which answers, errs, is silent, cuts short or lies. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { Resolver, type ResolverOptions } from "../../src/names/Resolver.js"
import { type Behaviour, NameServer } from "../support/NameServer.js"

const stops: Array<() => Promise<void> | void> = []
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop()
})

const A = (...a: Array<string>): Behaviour => ({ a })

const started = async (behave: (name: string) => Behaviour): Promise<NameServer> => {
  const server = await NameServer.start(behave)
  stops.push(() => server.stop())
  return server
}

/** A resolver whose files are `hosts` and `conf`, and whose only server is this one. */
const arranged = async (
  behave: (name: string) => Behaviour,
  { conf = "", hosts = "", ...options }: ResolverOptions & { readonly hosts?: string; readonly conf?: string } = {}
) => {
  const server = await started(behave)
  const path = mkdtempSync(join(tmpdir(), "wsm-test-"))
  stops.push(() => rmSync(path, { recursive: true }))
  const files = { hostsPath: join(path, "hosts"), resolvConfPath: join(path, "resolv.conf") }
  writeFileSync(files.hostsPath, hosts)
  writeFileSync(files.resolvConfPath, conf)
  return { server, files, resolver: new Resolver({ servers: [server.address], ...files, ...options }) }
}

const ask = (resolver: Resolver, host: string) =>
  new Promise<ReadonlyArray<string>>((resolve, reject) => {
    resolver.resolve(host, (reason, addresses) => {
      if (reason === undefined) resolve(addresses.map(({ address }) => address))
      else reject(new Error(reason))
    })
  })

const until = async (condition: () => boolean, timeoutMs = 10_000) => {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe("Resolver", () => {
  it("asks both families, and gives them by turns", async () => {
    const { resolver } = await arranged(() => ({ a: ["192.0.2.1", "192.0.2.2"], aaaa: ["2001:db8::1"] }))
    const first = await ask(resolver, "feed.test")
    expect([...first].sort()).toEqual(["192.0.2.1", "192.0.2.2", "2001:db8::1"])
    expect(first[0]).toBe("2001:db8::1")
    const second = await ask(resolver, "FEED.test")
    expect(second[1]).not.toBe(first[1])
  })

  it.each([
    ["a chain of aliases", { a: ["192.0.2.7"], via: ["x.cdn.test", "y.cdn.test", "z.cdn.test"] }],
    ["an answer cut short, which is asked for over TCP", { a: ["192.0.2.7"], truncate: true }],
    ["an answer under another id, which is not taken", { a: ["192.0.2.7"], forged: "192.0.2.66" }],
    ["IPv4 from a server that is silent about IPv6", { only4: "192.0.2.7" }],
    ["a slow answer", { a: ["192.0.2.7"], after: 700 }]
  ] as ReadonlyArray<readonly [string, Behaviour]>)("understands %s", async (_what, behaviour) => {
    const { resolver } = await arranged(() => behaviour)
    expect(await ask(resolver, "feed.test")).toEqual(["192.0.2.7"])
  })

  it("of a huge answer it keeps eight addresses of each family", async () => {
    const a = Array.from({ length: 900 }, (_, i) => `10.9.${i >> 8}.${i & 255}`)
    const aaaa = Array.from({ length: 700 }, (_, i) => `2001:db8::${(i + 1).toString(16)}`)
    const { resolver } = await arranged(() => ({ a, aaaa, truncate: true }))
    const found = await ask(resolver, "huge.test")
    expect(found.length).toBe(16)
    expect(found.filter((address) => address.includes(":")).length).toBe(8)
  })

  it.each([
    ["nxdomain", /nothing.test does not exist/],
    [{}, /nothing.test has no address/],
    ["servfail", /the name servers fail for nothing.test/],
    ["refused", /the name servers fail for nothing.test/],
    ["garbage", /no name server answered for nothing.test|cannot be read/],
    ["silent", /no name server answered for nothing.test within 700 ms/]
  ] as ReadonlyArray<readonly [Behaviour, RegExp]>)("says why there is no address: %s", async (behaviour, reason) => {
    const { resolver } = await arranged(() => behaviour, { withinMs: behaviour === "silent" ? 700 : 5000 })
    await expect(ask(resolver, "nothing.test")).rejects.toThrow(reason)
  })

  it("a server that fails is followed by the next one, and so is one that is not there", async () => {
    const failing = await started(() => "servfail")
    const gone = await NameServer.start(() => "silent")
    const goneAt = gone.address
    await gone.stop()
    const { resolver, server, files } = await arranged(() => A("192.0.2.1"))
    for (const servers of [
      [failing.address, server.address],
      [goneAt, server.address]
    ]) {
      expect(await ask(new Resolver({ ...files, servers }), "feed.test")).toEqual(["192.0.2.1"])
    }
    expect(await ask(resolver, "feed.test")).toEqual(["192.0.2.1"])
  })

  it("look-ups of one name are one question", async () => {
    const { resolver, server } = await arranged(() => ({ a: ["192.0.2.1"], after: 200 }))
    const all = await Promise.all(Array.from({ length: 200 }, () => ask(resolver, "feed.test")))
    expect(all).toEqual(Array.from({ length: 200 }, () => ["192.0.2.1"]))
    expect(server.asked("feed.test")).toBe(1)
  })

  it("an answer is kept for its time to live, at least a second and at most five minutes", async () => {
    let now = 0
    const ttl: Record<string, number> = { "a.test": 20, "b.test": 0, "c.test": 65_535 }
    const { resolver, server } = await arranged((name) => ({ a: ["192.0.2.1"], ttl: ttl[name]! }), { now: () => now })
    for (const [at, expected] of [
      [0, [1, 1, 1]],
      [999, [1, 1, 1]],
      [1001, [1, 2, 1]],
      [19_999, [1, 3, 1]],
      [20_001, [2, 3, 1]],
      [299_999, [3, 4, 1]],
      [300_001, [3, 4, 2]]
    ] as const) {
      now = at
      for (const name of Object.keys(ttl)) await ask(resolver, name)
      expect(Object.keys(ttl).map((name) => server.asked(name))).toEqual(expected)
    }
  })

  it("a name that was not found is not asked for again for five seconds, then it is", async () => {
    let now = 0
    let there = false
    const { resolver, server } = await arranged(() => (there ? A("192.0.2.1") : "nxdomain"), { now: () => now })
    for (let i = 0; i < 5; i++) await expect(ask(resolver, "new.test")).rejects.toThrow("does not exist")
    expect(server.asked("new.test")).toBe(1)
    there = true
    now = 5001
    expect(await ask(resolver, "new.test")).toEqual(["192.0.2.1"])
  })

  it("a name that led nowhere is asked for anew", async () => {
    let now = 0
    let address = "192.0.2.1"
    const { resolver } = await arranged(() => ({ a: [address], ttl: 300 }), { now: () => now })
    await ask(resolver, "moved.test")
    address = "192.0.2.2"
    resolver.unreachable("moved.test")
    expect(await ask(resolver, "moved.test")).toEqual(["192.0.2.1"]) // it was asked for just now
    now = 6000
    resolver.unreachable("moved.test")
    expect(await ask(resolver, "moved.test")).toEqual(["192.0.2.2"])
  })

  it("keeps a bounded number of names", { timeout: 60_000 }, async () => {
    const { resolver } = await arranged(() => ({ a: ["192.0.2.1"], aaaa: ["2001:db8::1"] }))
    for (let i = 0; i < 44; i++) {
      await Promise.all(Array.from({ length: 100 }, (_, j) => ask(resolver, `n${i}.zone${j}.test`)))
    }
    expect(resolver.size).toEqual({ asked: 0, kept: 4096 })
  })

  it("whom nobody waits for is no longer asked for, and takes no place", async () => {
    const { resolver, server } = await arranged((name) => (name === "good.dead.test" ? A("192.0.2.1") : "silent"))
    const cancels = Array.from({ length: 50 }, (_, i) => resolver.resolve(`x${i}.dead.test`, () => {}))
    await until(() => server.queries.length > 0)
    expect(new Set(server.queries.map(({ name }) => name)).size).toBeLessThanOrEqual(2)
    for (const cancel of cancels) cancel()
    expect(resolver.size.asked).toBe(0)
    const began = performance.now()
    expect(await ask(resolver, "good.dead.test")).toEqual(["192.0.2.1"])
    expect(performance.now() - began).toBeLessThan(1500)
    expect(new Set(server.queries.map(({ name }) => name)).size).toBeLessThanOrEqual(3)
  })

  it("one who leaves does not take the answer from the others", async () => {
    const { resolver } = await arranged(() => ({ a: ["192.0.2.1"], after: 300 }))
    const heard: Array<string> = []
    const cancel = resolver.resolve("feed.test", () => heard.push("left"))
    const other = ask(resolver, "feed.test")
    cancel()
    expect(await other).toEqual(["192.0.2.1"])
    expect(heard).toEqual([])
  })

  it("dead zones cost their own names: others are answered at once, however many are dead", async () => {
    const { resolver, server } = await arranged((name) => (/dead/.test(name) ? "silent" : A("192.0.2.1")))
    const dead = [
      ...Array.from({ length: 60 }, (_, i) => `x${i}.dead.test`),
      ...Array.from({ length: 200 }, (_, i) => `www.dead${i}.test`)
    ]
    const cancels = dead.map((name) => resolver.resolve(name, () => {}))
    await until(() => server.queries.some(({ name }) => name.startsWith("www.dead")))
    for (const name of ["a.good.test", "b.good.test", "good.example"]) {
      const began = performance.now()
      expect(await ask(resolver, name)).toEqual(["192.0.2.1"])
      expect(performance.now() - began).toBeLessThan(2000)
    }
    const inDead = new Set(server.queries.map(({ name }) => name).filter((name) => name.endsWith(".dead.test")))
    expect(inDead.size).toBe(2)
    for (const cancel of cancels) cancel()
  })
})

describe("the hosts file", () => {
  it("comes before the name servers, and is read again when it changes", async () => {
    const hosts = "127.0.0.9 Feed.test other.test # comment\n::1 feed.test\n\nbad line\n# 127.0.0.1 x.test\n"
    const { files, resolver, server } = await arranged(() => A("192.0.2.1"), { hosts })
    expect(await ask(resolver, "feed.test")).toEqual(["127.0.0.9", "::1"])
    expect(await ask(resolver, "other.test.")).toEqual(["127.0.0.9"])
    expect(server.queries).toEqual([])
    expect(await ask(resolver, "x.test")).toEqual(["192.0.2.1"])
    writeFileSync(files.hostsPath, "127.0.0.8 feed.test x.test\n")
    expect(await ask(resolver, "feed.test")).toEqual(["127.0.0.8"])
    expect(await ask(resolver, "x.test")).toEqual(["127.0.0.8"])
  })

  it("that is missing is an empty one", async () => {
    const { resolver } = await arranged(() => A("192.0.2.1"), { hostsPath: "/nonexistent/hosts" })
    expect(await ask(resolver, "feed.test")).toEqual(["192.0.2.1"])
  })

  it("that cannot be looked at is an empty one, and nothing is thrown", async () => {
    const { resolver } = await arranged(() => A("192.0.2.1"), { hostsPath: `/${"x".repeat(300)}/hosts` })
    expect(await ask(resolver, "feed.test")).toEqual(["192.0.2.1"])
  })

  it("that cannot be read for a while stays as it was, and is read as soon as it can be", async () => {
    const { files, resolver } = await arranged(() => A("192.0.2.1"), { hosts: "127.0.0.9 feed.test\n" })
    expect(await ask(resolver, "feed.test")).toEqual(["127.0.0.9"])
    // a file whose first byte cannot be read
    rmSync(files.hostsPath)
    symlinkSync("/proc/self/mem", files.hostsPath)
    expect(() => readFileSync(files.hostsPath)).toThrow("EIO")
    expect(await ask(resolver, "feed.test")).toEqual(["127.0.0.9"])
    rmSync(files.hostsPath)
    writeFileSync(files.hostsPath, "127.0.0.8 feed.test\n")
    expect(await ask(resolver, "feed.test")).toEqual(["127.0.0.8"])
  })
})

describe("special names (RFC 6761)", () => {
  it("localhost and what ends in it is loopback, whatever the hosts file says, and is never asked for", async () => {
    const { resolver, server } = await arranged(() => A("192.0.2.1"), { hosts: "10.0.0.1 localhost a.localhost\n" })
    for (const name of ["localhost", "LOCALHOST.", "a.localhost", "x.y.localhost"]) {
      expect(await ask(resolver, name)).toEqual(["127.0.0.1", "::1"])
    }
    expect(server.queries).toEqual([])
  })

  it("localhost is the addresses that the hosts file gives it, where they are loopback", async () => {
    const { resolver } = await arranged(() => "silent", { hosts: "127.0.0.1 localhost\n" })
    expect(await ask(resolver, "localhost")).toEqual(["127.0.0.1"])
  })

  it.each(["x.invalid", "invalid.", "abc.onion", "a..b", `${"a".repeat(64)}.test`, `${"a.".repeat(127)}test`])(
    "%s is never asked for",
    async (name) => {
      const { resolver, server } = await arranged(() => A("192.0.2.1"))
      await expect(ask(resolver, name)).rejects.toThrow(/does not exist|no name that/)
      expect(server.queries).toEqual([])
    }
  )
})

describe("the search list", () => {
  const conf = "search ns.svc.cluster.test svc.cluster.test\noptions timeout:1 ndots:2\n"

  it("makes a name with fewer dots whole first, one with as many last", async () => {
    const there = new Set(["feed.ns.svc.cluster.test", "a.b.example"])
    const { resolver, server } = await arranged((name) => (there.has(name) ? A("192.0.2.1") : "nxdomain"), { conf })
    expect(await ask(resolver, "feed")).toEqual(["192.0.2.1"])
    expect(server.queries.map(({ name }) => name)).toEqual(Array(2).fill("feed.ns.svc.cluster.test"))
    server.queries.length = 0
    expect(await ask(resolver, "a.b.example")).toEqual(["192.0.2.1"])
    expect(new Set(server.queries.map(({ name }) => name))).toEqual(new Set(["a.b.example"]))
  })

  it("goes through to the name as it stands, and past what fails", async () => {
    const { resolver } = await arranged(
      (name) => (name === "b.example" ? A("192.0.2.1") : name.includes("ns.svc") ? "servfail" : "nxdomain"),
      { conf }
    )
    expect(await ask(resolver, "b.example")).toEqual(["192.0.2.1"])
  })

  it("what is not answered is not passed over for another name", async () => {
    const { resolver } = await arranged((name) => (name === "b.example" ? A("192.0.2.1") : "silent"), {
      conf,
      withinMs: 700
    })
    await expect(ask(resolver, "b.example")).rejects.toThrow("no name server answered for")
  })

  it("a dot at the end says that a name is written in full", async () => {
    const { resolver, server } = await arranged(() => A("192.0.2.1"), { conf })
    await ask(resolver, "feed.")
    expect(new Set(server.queries.map(({ name }) => name))).toEqual(new Set(["feed"]))
  })
})

describe("the system's own resolver", () => {
  it("is asked where the setting says so, and its word is passed on", async () => {
    const resolver = new Resolver({ servers: ["system"], hostsPath: "/nonexistent/hosts" })
    const word = await ask(resolver, hostname()).catch((error: Error) => error.message)
    if (typeof word === "string") expect(word).toContain(`${hostname().toLowerCase()} was not found: getaddrinfo`)
    else expect(word.length).toBeGreaterThan(0)
  })
})
