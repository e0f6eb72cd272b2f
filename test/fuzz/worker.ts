/** One process of the fuzzer: rounds of inputs for each target in turn, a line of JSON for each finding and at the end. */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { startInstance } from "./Instance.js"
import { byteTargets } from "./ByteTargets.js"
import { mutate, Random } from "./Random.js"
import { socketTargets } from "./SocketTargets.js"
import type { Target } from "./Target.js"
import { textTargets } from "./TextTargets.js"

const [seed, seconds, only, corpusFolder, foundFolder] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string
]

/** The longest that the event loop may stand still: busy, not merely without a processor. */
const STALL_MS = 200
/** What may still be held of all that a target was given. */
const KEPT_BYTES = 48 * 1024 * 1024
/** Of one target before the next one has its turn. */
const ROUND_MS = 2000

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {})

const cpuMs = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

/** The longest time, since it was asked last, in which this process worked and no timer ran. */
const watch = () => {
  let worst = 0
  let at = performance.now()
  let cpu = cpuMs()
  const look = () => {
    const now = performance.now()
    const used = cpuMs()
    worst = Math.max(worst, Math.min(now - at, used - cpu))
    at = now
    cpu = used
  }
  setInterval(look, 5).unref()
  return () => {
    look()
    const was = worst
    worst = 0
    return was
  }
}

/** `TARGET LENGTH`, a line feed, and the input; what is behind it is of an earlier one. */
const trying = openSync(join(foundFolder, "trying"), "w")
const found = new Set<string>()
let finding = 0

const report = (target: Target, input: Buffer, what: string): void => {
  const kind = `${target.name}: ${what.split("\n", 1)[0]!.slice(0, 120)}`
  finding += 1
  if (found.has(kind)) return
  found.add(kind)
  const name = createHash("sha256").update(input).digest("hex").slice(0, 12)
  mkdirSync(join(foundFolder, target.name), { recursive: true })
  writeFileSync(join(foundFolder, target.name, name), input)
  say({
    finding: what.slice(0, 4000),
    target: target.name,
    file: join(foundFolder, target.name, name),
    bytes: input.length
  })
}

const instance = await startInstance()
const targets = [...textTargets, ...byteTargets, ...(await socketTargets(instance))].filter(
  ({ name }) => only === "" || only.split(",").includes(name)
)
const longest = watch()

/** The input is on disk before it is tried: whoever sees this process die finds it there. */
const attempt = async (target: Target, input: Buffer): Promise<void> => {
  const head = `${target.name} ${input.length}\n`
  writeSync(trying, head, 0)
  writeSync(trying, input, 0, input.length, head.length)
  longest()
  try {
    const running = target.run(input)
    if (running !== undefined) await running
  } catch (error) {
    report(target, input, error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  if (longest() <= STALL_MS) return
  // A collection of garbage, or code that is compiled, is not the input's doing: it has to do it again.
  for (let again = 0; again < 2; again++) {
    collect()
    longest()
    await Promise.resolve(target.run(input)).catch(() => {})
    const stood = longest()
    if (stood <= STALL_MS) return
    if (again === 1) report(target, input, `the event loop stood still for ${Math.round(stood)} ms`)
  }
}

process.on("uncaughtException", (error) => {
  say({
    finding: `nobody caught: ${error.stack ?? error.message}`,
    target: "process",
    file: join(foundFolder, "trying"),
    bytes: 0
  })
  process.exit(3)
})
process.on("unhandledRejection", (error) => {
  throw error
})

const corpusOf = ({ name }: Target): ReadonlyArray<Buffer> => {
  const folder = join(corpusFolder, name)
  return existsSync(folder) ? readdirSync(folder).map((file) => readFileSync(join(folder, file))) : []
}

const heap = (): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const random = new Random(Number(seed))
const ran: Record<string, number> = {}
const end = performance.now() + Number(seconds) * 1000
const held = new Map<Target, number>()
for (const target of targets) for (const input of corpusOf(target)) await attempt(target, input)
for (let round = 0; performance.now() < end; round++) {
  for (const target of targets) {
    const until = Math.min(end, performance.now() + ROUND_MS)
    const corpus = corpusOf(target)
    while (performance.now() < until) {
      const base = corpus.length > 0 && random.chance(0.2) ? random.pick(corpus) : target.seed(random)
      await attempt(target, mutate(random, base))
      ran[target.name] = (ran[target.name] ?? 0) + 1
    }
    // what the first two rounds leave is caches and compiled code
    const now = heap()
    if (round < 2) held.set(target, now)
    else if (now - held.get(target)! > KEPT_BYTES) {
      report(
        target,
        Buffer.alloc(0),
        `memory that stays: ${Math.round((now - held.get(target)!) / 2 ** 20)} MiB more than after its second round`
      )
      held.set(target, now)
    }
  }
  say({ round, ran, heapMiB: Math.round(heap() / 2 ** 20) })
}
for (const target of targets) await target.close?.()
say({ done: true, ran, findings: finding })
process.exit(0)
