import { describe, expect, it } from "vitest"
import { Listeners } from "../../src/common/Listeners.js"

describe("listeners", () => {
  it("are told in the order in which they came, until they are taken back", () => {
    const listeners = new Listeners<[what: string]>()
    const heard: Array<string> = []
    const stop = listeners.add((what) => heard.push(`first ${what}`))
    listeners.add((what) => heard.push(`second ${what}`))
    listeners.tell("a")
    stop()
    listeners.tell("b")
    expect(heard).toEqual(["first a", "second a", "second b"])
  })

  it("hear it even where one before them throws, which is thrown after all", () => {
    const listeners = new Listeners<[]>()
    let heard = 0
    listeners.add(() => {
      throw new RangeError("x")
    })
    listeners.add(() => heard++)
    expect(() => listeners.tell()).toThrow(RangeError)
    expect(heard).toBe(1)
  })

  it("that come while others are told hear the next", () => {
    const listeners = new Listeners<[]>()
    let heard = 0
    listeners.add(() => void listeners.add(() => heard++))
    listeners.tell()
    expect(heard).toBe(0)
    listeners.tell()
    expect(heard).toBe(1)
  })
})
