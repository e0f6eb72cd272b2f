import { describe, expect, it } from "vitest"
import { conceal } from "../../src/domain/secrets/Conceal.js"

const SECRET = 'S3cret/Value+of "A" ü'
const said = (text: string, ...values: ReadonlyArray<string>): string => conceal(text, values)
const bytes = Buffer.from(SECRET)

describe("what a peer says", () => {
  it("is shown as it came where it holds no secret", () => {
    for (const text of ["", "bye", "going away: maintenance at 12:00", "\ud83d\ude00 ok", "S3c"])
      expect(said(text, SECRET, "")).toBe(text)
  })

  it.each([
    ["as it was", SECRET],
    ["percent-encoded", encodeURIComponent(SECRET)],
    ["in JSON", JSON.stringify(SECRET).slice(1, -1)],
    ["in base64", bytes.toString("base64").replace(/=+$/, "")],
    ["in base64url", bytes.toString("base64url")],
    ["in hex", bytes.toString("hex")],
    ["in HEX", bytes.toString("hex").toUpperCase()]
  ])("has no secret %s", (_, form) => {
    expect(said(`bad token <${form}> of you`, SECRET)).toBe("bad token <***> of you")
    expect(said(`${form}${form}`, SECRET)).toBe("***")
  })

  it("has no secret that stands inside something that was encoded as a whole", () => {
    for (const before of ["", "u", "us", "user", "user:"]) {
      const whole = Buffer.from(`${before}${SECRET}:x`).toString("base64")
      const shown = said(`Basic ${whole}`, SECRET)
      expect(shown).toMatch(/^Basic .{0,8}\*\*\*.{0,6}$/)
    }
  })

  it("has no piece of one either, as a reason that was cut has", () => {
    expect(said(`no: ${SECRET.slice(0, 12)}`, SECRET)).toBe("no: ***")
    expect(said(`no: ${SECRET.slice(5)}`, SECRET)).toBe("no: ***")
  })

  it("has no short secret, but for what stands in every text", () => {
    expect(said("no pw hunter2, no 1", "hunter2", "1", "pw")).toBe("no pw ***, no 1")
  })

  it("is not shown at all beside more values than are looked for, which costs next to nothing", () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `value ${i}`)
    expect(said("bye", ...many.slice(0, 500))).toBe("bye")
    expect(said("bye", ...many.slice(0, 500), SECRET.repeat(4000))).toBe("***")
    const began = process.cpuUsage()
    for (let i = 0; i < 10; i++) expect(said("bye", ...many)).toBe("***")
    expect(process.cpuUsage(began).user / 10_000).toBeLessThan(50)
  })

  it("is not shown beyond a length, and costs as much as it and the values are long", () => {
    expect(said("x".repeat(5000), SECRET).length).toBe(1024)
    const cost = (n: number) => {
      const value = `${"ab".repeat(n)}c`
      const began = process.cpuUsage()
      for (let i = 0; i < 20; i++) said("ab".repeat(512), value, value)
      return process.cpuUsage(began).user / 1000
    }
    cost(1000)
    expect(cost(8000) / Math.max(cost(2000), 0.5)).toBeLessThan(10)
  })
})
