/** The generated sequences of the model test, as many as are asked for. */
import { spawn } from "node:child_process"
import { availableParallelism } from "node:os"
import { createInterface } from "node:readline"
import { bundle } from "./bundle.mjs"

const HELP = `npm run test:model -- [flags]

  --seeds N   sequences to play; default 3000
  --quick     the 300 of CI
  --from N    the first seed; default 1
  --seed N    repeat this one
  --trace     with --seed: tell it line by line
  --as-drawn  do not make sequences that break a promise small, which takes at most a minute for every 25 of them
  --jobs N    processes; default one for each processor
  --help

A sequence that breaks a promise is printed at once, with its seed, and then made small. 3,000 take about a quarter of an hour on one processor.
`
const FLAGS = ["--seeds", "--quick", "--from", "--seed", "--trace", "--as-drawn", "--jobs", "--help"]

/** A world is garbage within a second, of which most would be taken for old. */
const FLAGS_OF_NODE = ["--min-semi-space-size=32", "--max-semi-space-size=64"]

const args = process.argv.slice(2)
const stranger = args.find((arg) => arg.startsWith("-") && !FLAGS.includes(arg))
if (args.includes("--help") || stranger !== undefined) {
  process.stdout.write(stranger === undefined ? HELP : `there is no flag ${stranger}\n\n${HELP}`)
  process.exit(stranger === undefined ? 0 : 2)
}
const number = (name, otherwise) => {
  const at = args.indexOf(`--${name}`)
  const value = at === -1 ? otherwise : Number(args[at + 1])
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} takes a whole number`)
  return value
}
const one = args.includes("--seed")
const from = one ? number("seed") : number("from", 1)
const jobs = Math.max(1, number("jobs", availableParallelism()))
const count = one ? 1 : number("seeds", args.includes("--quick") ? 300 : 3000)
const outfile = await bundle("run")

const bad = []
const counts = {}
let done = 0
let next = from

const part = (first, last) =>
  new Promise((resolve, reject) => {
    const more = [...(one ? ["--trace"] : []), "--as-drawn"].filter((word) => args.includes(word))
    const child = spawn(
      process.execPath,
      [...FLAGS_OF_NODE, ...(one ? ["--enable-source-maps"] : []), outfile, "seeds", first, last, ...more].map(String),
      {
        stdio: ["ignore", "pipe", "inherit"]
      }
    )
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { found, seed, trace, ...rest } = JSON.parse(line)
      if (rest.small !== undefined) return process.stdout.write(`seed ${seed} made small: ${rest.small}\n`)
      done++
      for (const [kind, n] of Object.entries(rest.counts)) counts[kind] = (counts[kind] ?? 0) + n
      if (trace !== undefined) process.stdout.write(`${trace.join("\n")}\n`)
      if (found.length === 0) return
      bad.push(seed)
      process.stdout.write(`seed ${seed}: ${JSON.stringify(found)}\n  ${rest.plan}\n`)
    })
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`seeds ${first} to ${last}: exit ${code}`))))
  })

/** sequences of one process: it plays the first of them at half the speed of the others */
const AT_ONCE = Math.min(100, Math.ceil(count / jobs / 2))
/** Where no terminal shows each step. */
const TELL_EVERY = 1000
let told = 0
const lane = async () => {
  while (next < from + count) {
    const first = next
    next = Math.min(first + AT_ONCE, from + count)
    await part(first, next - 1)
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${count} `)
    else if (done >= told + TELL_EVERY) process.stderr.write(`${(told = done)} of ${count}\n`)
  }
}
process.stdout.write(`seeds ${from} to ${from + count - 1}\n`)
const started = Date.now()
await Promise.all(Array.from({ length: jobs }, lane))
const seconds = ((Date.now() - started) / 1000).toFixed(0)
process.stdout.write(
  `${done} sequences in ${seconds} s, ${bad.length} broke a promise${bad.length > 0 ? `: ${bad}` : ""}\n`
)
process.stdout.write(`${JSON.stringify(counts)}\n`)
process.exitCode = bad.length === 0 && done === count ? 0 : 1
