/** What the fuzzer found once, or what was known to hurt: each is handled, and none holds up the event loop. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { byteTargets } from "./ByteTargets.js"
import { mutate, Random } from "./Random.js"
import { textTargets } from "./TextTargets.js"

const CORPUS = join(import.meta.dirname, "corpus")

/** The least of three tries: a busy machine is not the input's doing. */
const cost = (run: () => unknown): number =>
  Math.min(
    ...[1, 2, 3].map(() => {
      const began = process.cpuUsage()
      run()
      const { system, user } = process.cpuUsage(began)
      return (system + user) / 1000
    })
  )

describe.each([...textTargets, ...byteTargets])("$name", (target) => {
  it.each(readdirSync(join(CORPUS, target.name)))("%s", (file) => {
    const input = readFileSync(join(CORPUS, target.name, file))
    expect(cost(() => target.run(input))).toBeLessThan(200)
  })

  it("handles a few hundred inputs of a seed", () => {
    const random = new Random(7)
    const runAll = () => {
      for (let i = 0; i < 300; i++) target.run(mutate(random, target.seed(random)))
    }
    expect(runAll).not.toThrow()
  })
})

it("the same seed gives the same inputs, another one gives others", () => {
  const inputs = (seed: number) => {
    const random = new Random(seed)
    return Array.from({ length: 20 }, () => mutate(random, textTargets[0]!.seed(random)).toString("hex"))
  }
  expect(inputs(1)).toEqual(inputs(1))
  expect(inputs(1)).not.toEqual(inputs(2))
})
