/** Walks the import graph of src and compares it with the house (README, How it is built), held here as data. */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { describe, expect, it } from "vitest"

const SRC = resolve(import.meta.dirname, "../src")

/** A room, and the rooms it may know. A file outside every folder is a room of its own name. */
const MAY_IMPORT: Record<string, ReadonlyArray<string>> = {
  common: [],
  domain: [],
  config: ["domain"],
  observability: ["domain", "config"],
  ports: ["domain"],
  names: ["domain"],
  socket: ["domain", "config", "observability", "ports", "names"],
  membership: ["domain", "config", "observability", "ports"],
  ownership: ["common", "domain", "config", "observability", "ports", "membership"],
  messaging: ["domain", "config", "observability", "ports"],
  manager: ["common", "domain", "config", "observability", "ports", "socket", "membership", "ownership", "messaging"],
  "api/rpc": ["domain", "config", "observability", "ports", "manager"],
  "api/grpc": ["domain", "config", "observability", "ports", "manager", "api/rpc"],
  "api/http": ["domain", "config", "observability", "manager", "api/rpc"],
  "adapters/embedded": ["domain", "config", "observability", "ports"],
  "adapters/secrets": ["domain", "config", "observability", "ports"],
  "adapters/dapr": ["domain", "config", "observability", "ports"],
  "adapters/peers": ["domain", "config", "observability", "ports", "api/rpc"],
  app: [
    "domain",
    "config",
    "observability",
    "ports",
    "socket",
    "membership",
    "ownership",
    "messaging",
    "manager",
    "api/rpc",
    "api/grpc",
    "api/http",
    "adapters/embedded",
    "adapters/secrets",
    "adapters/dapr",
    "adapters/peers"
  ],
  cli: ["domain", "config", "observability", "api/rpc", "app"],
  "main.ts": ["cli", "app"],
  testing: ["domain", "config", "manager", "membership", "ports", "socket", "adapters/embedded", "app"],
  "index.ts": ["domain", "config", "observability", "ports", "socket", "membership", "ownership", "messaging", "manager", "api/rpc", "api/grpc", "api/http", "adapters/embedded", "adapters/secrets", "adapters/dapr", "adapters/peers", "app"] // prettier-ignore
}

/** Who must never know whom, below the level of rooms: [importer, imported]. */
const NEVER: ReadonlyArray<readonly [string, string]> = [
  ["socket", "ports/StateStore.ts"],
  ["socket", "ports/PubSub.ts"],
  ["messaging", "ports/StateStore.ts"],
  ["membership/Heartbeat.ts", "ownership"]
]

/**
 * What others call for a connection, a name or a topic goes through `domain/CallbackGuard.ts`, which keeps what is thrown from
 * the process; these are the ways past it.
 */
const GUARDED: ReadonlyArray<string> = ["socket", "names", "messaging"]
const PAST_THE_GUARD =
  /\.(?:on|once|addListener|prependListener|addEventListener)\(|\bset(?:Timeout|Immediate|Interval)\(|\bqueueMicrotask\(|\bnextTick\(|\b(?:lookup|resolve[46])\((?!.*\bguard\()/

/** Words that belong to the process and to vendors, and where alone they may stand. */
const WORDS: ReadonlyArray<{ word: RegExp; allowed: ReadonlyArray<string> }> = [
  { word: /process\.env/, allowed: ["app", "cli", "main.ts"] },
  { word: /\brunMain\b/, allowed: ["main.ts"] },
  { word: /@dapr\//, allowed: ["adapters/dapr", "app"] },
  { word: /@connectrpc\//, allowed: ["adapters/dapr"] }
]

const files = (readdirSync(SRC, { recursive: true }) as Array<string>)
  .filter((f) => f.endsWith(".ts") && !f.includes("generated"))
  .sort()

const roomOf = (file: string): string => {
  const parts = file.split("/")
  if (parts.length === 1) return parts[0]!
  return parts[0] === "api" || parts[0] === "adapters" ? `${parts[0]}/${parts[1]}` : parts[0]!
}

const importsOf = (file: string): ReadonlyArray<string> =>
  [...readFileSync(join(SRC, file), "utf8").matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((m) =>
    relative(SRC, resolve(SRC, dirname(file), m[1]!)).replace(/\.js$/, ".ts")
  )

describe("the house", () => {
  it("every room is in the table", () => {
    expect(files.map(roomOf).filter((room) => !(room in MAY_IMPORT))).toEqual([])
  })

  it("dependencies point down, as the table says", () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((to) => !to.includes("generated") && roomOf(to) !== roomOf(file))
        .filter((to) => !MAY_IMPORT[roomOf(file)]!.includes(roomOf(to)))
        .map((to) => `${file} -> ${to}`)
    )
    expect(wrong).toEqual([])
  })

  it("no file is in a circle of imports, those of types alone included", () => {
    const graph = new Map(files.map((file) => [file, importsOf(file).filter((to) => to !== file)]))
    /** what a file reaches, itself only by a circle */
    const reached = (file: string): ReadonlySet<string> => {
      const seen = new Set<string>()
      const next = [...(graph.get(file) ?? [])]
      for (let to = next.pop(); to !== undefined; to = next.pop()) {
        if (seen.has(to)) continue
        seen.add(to)
        next.push(...(graph.get(to) ?? []))
      }
      return seen
    }
    expect(files.filter((file) => reached(file).has(file))).toEqual([])
  })

  it("who must never know whom", () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((to) => NEVER.some(([from, never]) => file.startsWith(from) && to.startsWith(never)))
        .map((to) => `${file} -> ${to}`)
    )
    expect(wrong).toEqual([])
  })

  it("no callback for a connection, a name or a topic goes past the guard", () => {
    const wrong = files
      .filter((file) => GUARDED.includes(roomOf(file)))
      .flatMap((file) =>
        readFileSync(join(SRC, file), "utf8")
          .split("\n")
          .map((line, i) => `${file}:${i + 1}: ${line.trim()}`)
          .filter((line) => PAST_THE_GUARD.test(line))
      )
    expect(wrong, "use listenTo, guard, later or whenTurnEnds of domain/CallbackGuard.ts").toEqual([])
  })

  it("the words of the process and of vendors stand only where they may", () => {
    const wrong = WORDS.flatMap(({ allowed, word }) =>
      files
        .filter((file) => !allowed.includes(roomOf(file)) && word.test(readFileSync(join(SRC, file), "utf8")))
        .map((file) => `${file}: ${word.source}`)
    )
    expect(wrong).toEqual([])
  })
})
