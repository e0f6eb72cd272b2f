/** Numbers that look random and come again with their seed (mulberry32), and bytes that were changed by them. */

export class Random {
  constructor(private state: number) {}

  /** From 0 up to, not including, 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  /** A whole number below `n`. */
  below(n: number): number {
    return Math.floor(this.next() * n)
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  pick<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)]!
  }
  bytes(n: number): Buffer {
    return Buffer.from(Array.from({ length: n }, () => this.below(256)))
  }
}

/** What lengths, counts and types are written as, and where they change their meaning. */
const INTERESTING = [
  0, 1, 0x7f, 0x80, 0xff, 0xdc, 0xdd, 0xde, 0xdf, 0xc1, 0xc7, 0xd4, 0x0a, 0x0d, 0x22, 0x24, 0x5b, 0x7b, 0x5c
]

/** What texts are taken apart at. */
const SIGNS = [...Buffer.from("{}[]()<>,:;\"'`\\/|$@#%&?=*+-._~!^ \t\r\n019eEtnu")]

/** No input grows over this, so that a round stays short. */
export const MAX_INPUT_BYTES = 256 * 1024

type Change = (random: Random, input: Buffer) => Buffer

const at = (random: Random, input: Buffer) => random.below(input.length + 1)

const CHANGES: ReadonlyArray<Change> = [
  (random, input) => {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8)
    return copy
  },
  (random, input) => {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.below(copy.length)] = random.pick(INTERESTING)
    return copy
  },
  (random, input) => {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.below(copy.length)] = random.pick(SIGNS)
    return copy
  },
  (random, input) => {
    const copy = Buffer.from(input)
    if (copy.length >= 4)
      copy.writeUInt32BE(random.pick([0, 0xffff, 0x1ffffff, 0x7fffffff, 0xffffffff]), random.below(copy.length - 3))
    return copy
  },
  (random, input) => {
    const from = at(random, input)
    return Buffer.concat([input.subarray(0, from), input.subarray(from + random.below(16))])
  },
  (random, input) => {
    const from = at(random, input)
    return Buffer.concat([input.subarray(0, from), random.bytes(1 + random.below(8)), input.subarray(from)])
  },
  // a piece that stands again and again
  (random, input) => {
    const from = at(random, input)
    const piece = input.subarray(from, from + 1 + random.below(24))
    const times = 1 + random.below(random.chance(0.02) ? 4096 : 8)
    return Buffer.concat([input.subarray(0, from), ...Array.from({ length: times }, () => piece), input.subarray(from)])
  },
  (random, input) => input.subarray(0, at(random, input))
]

/** The input with a few changes; now and then as it was. */
export const mutate = (random: Random, input: Buffer): Buffer => {
  let changed = input
  for (let left = random.below(7); left > 0; left--) changed = random.pick(CHANGES)(random, changed)
  return changed.subarray(0, MAX_INPUT_BYTES)
}
