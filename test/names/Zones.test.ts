/** Whose turn it is to be asked for, without a name server: look-ups end when the test says so. */
import { describe, expect, it } from "vitest"
import { type Leave, PER_ZONE, Zones } from "../../src/names/Zones.js"

const arranged = () => {
  const zones = new Zones()
  const running = new Map<string, Leave>()
  const enter = (name: string, zone = "shared.test") => zones.enter(zone, name, (leave) => running.set(name, leave))
  const end = (name: string, answered?: boolean) => {
    const leave = running.get(name)!
    running.delete(name)
    leave(answered)
  }
  return { zones, running, enter, end, asked: () => [...running.keys()] }
}

describe("look-ups of one zone", () => {
  it("run two at a time, in the order in which they came", () => {
    const { asked, end, enter } = arranged()
    for (const name of ["a", "b", "c", "d"]) enter(name)
    expect(asked()).toEqual(["a", "b"])
    end("a", true)
    expect(asked()).toEqual(["b", "c"])
  })

  it("of names that were not answered run one at a time, so that another name of the zone has a place at once", () => {
    const { asked, end, enter } = arranged()
    const dead = Array.from({ length: 12 }, (_, i) => `dead${i}`)
    for (const name of dead) enter(name)
    for (let asking = asked(); asking.length > 0; asking = asked()) for (const name of asking) end(name, false)
    for (const name of dead) enter(name)
    expect(asked()).toHaveLength(1)
    enter("good")
    expect(asked()).toHaveLength(PER_ZONE)
    expect(asked()).toContain("good")
    end("good", true)
    enter("better")
    expect(asked()).toContain("better")
  })

  it("go before those of names that were not answered, which are asked for all the same", () => {
    const { asked, end, enter } = arranged()
    enter("dead")
    end("dead", false)
    for (const name of ["a", "b", "dead", "c"]) enter(name)
    expect(asked()).toEqual(["a", "b"])
    end("a", true)
    expect(asked()).toEqual(["b", "c"])
    end("b", true)
    expect(asked()).toEqual(["c", "dead"])
  })

  it("of a name that is answered again wait no longer than others", () => {
    const { asked, end, enter } = arranged()
    enter("back")
    end("back", false)
    enter("back")
    end("back", true)
    for (const name of ["a", "back"]) enter(name)
    expect(asked()).toEqual(["a", "back"])
  })

  it("that are taken back, or end without anybody knowing, leave nothing behind", () => {
    const { asked, end, enter, zones } = arranged()
    const takeBacks = ["a", "b", "c"].map((name) => enter(name))
    takeBacks[2]!()
    end("a")
    end("b")
    expect(asked()).toEqual([])
    expect((zones as unknown as { readonly zones: ReadonlyMap<string, unknown> }).zones.size).toBe(0)
  })

  it("of dead zones do not keep other zones waiting", () => {
    const { asked, end, enter } = arranged()
    for (let i = 0; i < 100; i++) {
      enter(`x.dead${i}.test`, `dead${i}.test`)
      end(`x.dead${i}.test`, false)
    }
    for (let i = 0; i < 100; i++) enter(`y.dead${i}.test`, `dead${i}.test`)
    expect(asked()).toHaveLength(64)
    enter("good.example", "good.example")
    expect(asked()).toContain("good.example")
  })
})
