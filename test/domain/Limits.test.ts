import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { describe, expect, it } from "vitest"
import * as Limits from "../../src/domain/Limits.js"

const README = resolve(import.meta.dirname, "../../proto/README.md")

const shown = (name: string, value: number): string => {
  const inUnits = (units: ReadonlyArray<readonly [number, string]>): string => {
    const [size, unit] = units.find(([size]) => value % size === 0)!
    return `${(value / size).toLocaleString("en")} ${unit}`
  }
  if (name.endsWith("_BYTES")) return inUnits([[1024 ** 2, "MiB"], [1024, "KiB"], [1, "bytes"]]) // prettier-ignore
  if (name.endsWith("_MS")) return inUnits([[3_600_000, "h"], [60_000, "min"], [1000, "s"], [1, "ms"]]) // prettier-ignore
  return value.toLocaleString("en")
}

describe("the limits", () => {
  it("stand in proto/README.md as they stand in the code, each once", () => {
    const inCode = Object.entries(Limits).flatMap(([party, limits]) =>
      Object.entries(limits).map(([name, value]) => `${party}.${name} ${shown(name, value)}`)
    )
    const rows = [...readFileSync(README, "utf8").matchAll(/^\| `([A-Z]+\.[A-Z_]+)` \| ([^|]+) \| [^|]{10,} \|$/gm)]
    expect(rows.map(([, name, value]) => `${name} ${value}`).sort()).toEqual(inCode.sort())
  })
})
