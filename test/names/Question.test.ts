/** What is thrown while one name is asked for costs that question alone: node calls all of it, and would end the process. */
import { afterEach, describe, expect, it } from "vitest"
import { type Answer, type Ask, askServers, askSystem, type NoAnswer } from "../../src/names/Question.js"
import { Resolver } from "../../src/names/Resolver.js"
import { type Behaviour, NameServer } from "../support/NameServer.js"

const stops: Array<() => Promise<void>> = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

const boom = (): never => {
  throw new RangeError("of what a stranger sent")
}
const FAULT = { reason: "looking up feed.test failed unexpectedly: RangeError", silent: false }
const FOUND = { a: ["192.0.2.7"] }

const asking = async (behave: (name: string) => Behaviour): Promise<Ask> => {
  const server = await NameServer.start(behave)
  stops.push(() => server.stop())
  return askServers([server.address])
}

/** Names, the `n`th look at which throws. */
const throwing = (n: number, ...names: ReadonlyArray<string>): ReadonlyArray<string> => {
  let looks = 0
  return new Proxy(names, {
    get: (target, key, receiver) =>
      /^\d+$/.test(String(key)) && ++looks === n ? boom() : Reflect.get(target, key, receiver)
  })
}

const told = async (ask: Ask, names: ReadonlyArray<string>, whenOver = () => {}) => {
  let overs = 0
  const answers: Array<Answer | NoAnswer> = []
  await new Promise<void>((resolve) => {
    ask(
      names,
      (answer) => {
        answers.push(answer)
        resolve()
      },
      () => {
        overs++
        whenOver()
      }
    )
  })
  // nothing comes after it
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect([answers.length, overs]).toEqual([1, 1])
  return answers[0]
}

describe("a throw while a name is asked for", () => {
  it("before it is asked, or in the answer of a name server, ends that question, told once, with what was thrown by name", async () => {
    const ask = await asking(() => FOUND)
    expect(await told(ask, throwing(2, "feed.test"))).toEqual(FAULT)
    const none = await asking(() => ({}))
    expect(await told(none, throwing(3, "feed.test", "feed.test.search"))).toEqual(FAULT)
  })

  it.each([
    ["of both families", { ...FOUND, aaaa: ["2001:db8::1"] }],
    ["of one family, the other being silent", { only4: "192.0.2.7" }]
  ] as ReadonlyArray<readonly [string, Behaviour]>)(
    "by whoever waits for its place keeps nobody from the answer (%s)",
    async (_what, behaviour) => {
      const answer = await told(await asking(() => behaviour), ["feed.test"], boom)
      expect(answer).toMatchObject({
        addresses: expect.arrayContaining([{ address: "192.0.2.7", family: 4 }]) as unknown
      })
    }
  )

  it("of the system's resolver keeps nobody from the answer either", async () => {
    expect(await told(askSystem, ["localhost"], boom)).toHaveProperty("addresses")
  })

  it("at its time-out ends it", async () => {
    const server = await NameServer.start(() => "silent")
    stops.push(() => server.stop())
    expect(await told(askServers([server.address], 50), ["feed.test"], boom)).toMatchObject({ silent: true })
  })

  it("by one dial leaves the others of that name what they are told", async () => {
    const server = await NameServer.start(() => FOUND)
    stops.push(() => server.stop())
    const resolver = new Resolver({ servers: [server.address] })
    const others = Array.from(
      { length: 2 },
      () =>
        new Promise((resolve) => {
          resolver.resolve("feed.test", boom)
          resolver.resolve("feed.test", (_reason, addresses) => resolve(addresses))
        })
    )
    for (const one of await Promise.all(others)) expect(one).toEqual([{ address: "192.0.2.7", family: 4 }])
    expect(resolver.size.asked).toBe(0)
  })
})
