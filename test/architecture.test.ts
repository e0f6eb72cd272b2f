import { readdirSync, readFileSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import { describe, expect, it } from "vitest"

const ROOT = resolve(import.meta.dirname, "..")
const SRC = join(ROOT, "src")

/**
 * The rooms from the ground up, and the rooms each may know: only those that stand above it in this list. A folder and each of its
 * sub-folders are rooms. A file that puts a whole folder together (`WHOLE`), and one outside every folder, is a room of its own name.
 */
const MAY_IMPORT: Record<string, ReadonlyArray<string>> = {
  common: [],
  domain: [],
  "domain/json": ["domain"],
  "domain/secrets": ["domain"],
  "domain/validation": ["common", "domain", "domain/json", "domain/secrets"],
  "domain/stored": ["domain", "domain/secrets", "domain/validation"],
  ports: ["domain"],
  rpc: ["common", "domain", "ports"],
  config: ["common", "domain", "domain/secrets"],
  observability: ["common", "domain", "domain/secrets", "config"],
  names: ["common", "domain"],
  state: ["common", "domain", "domain/stored", "ports", "observability"],
  "adapters/embedded/internal": ["domain"],
  "adapters/embedded": ["common", "domain", "ports", "adapters/embedded/internal"],
  "adapters/secrets": ["domain/secrets", "ports"],
  "adapters/dapr/sidecar": ["common", "domain"],
  "adapters/dapr/state": ["common", "domain", "ports", "adapters/dapr/sidecar"],
  "adapters/dapr/publish": ["common", "domain", "ports", "adapters/dapr/sidecar"],
  "adapters/dapr": [
    "common",
    "domain",
    "domain/secrets",
    "ports",
    "adapters/dapr/sidecar",
    "adapters/dapr/state",
    "adapters/dapr/publish"
  ],
  "adapters/peers": ["common", "domain", "ports", "rpc", "config"],
  "socket/wire": ["common", "domain"],
  "socket/dial": ["common", "domain", "domain/json", "domain/secrets", "ports", "config", "names", "socket/wire"],
  socket: [
    "common",
    "domain",
    "domain/secrets",
    "ports",
    "config",
    "observability",
    "names",
    "socket/wire",
    "socket/dial"
  ],
  "messaging/publish": ["common", "domain", "ports", "observability"],
  "messaging/correlation": ["common", "domain", "domain/json"],
  messaging: ["common", "domain", "ports", "config", "observability", "messaging/publish"],
  "membership/lease": ["common", "domain", "domain/stored", "ports", "config", "observability"],
  "membership/peers": ["common", "domain", "domain/stored", "ports", "observability", "state", "membership/lease"],
  membership: [
    "common",
    "domain",
    "domain/stored",
    "ports",
    "config",
    "observability",
    "state",
    "membership/lease",
    "membership/peers"
  ],
  "ownership/records": [
    "common",
    "domain",
    "domain/stored",
    "ports",
    "observability",
    "state",
    "membership/lease",
    "membership"
  ],
  "ownership/operations": ["common", "domain", "domain/stored", "ports", "ownership/records"],
  "ownership/takeover": [
    "common",
    "domain",
    "domain/stored",
    "ports",
    "state",
    "membership/lease",
    "membership",
    "ownership/records",
    "ownership/operations"
  ],
  ownership: [
    "common",
    "domain",
    "domain/stored",
    "ports",
    "config",
    "observability",
    "state",
    "membership/lease",
    "membership",
    "ownership/records",
    "ownership/operations",
    "ownership/takeover"
  ],
  manager: ["common", "domain", "ports", "observability", "messaging", "membership/lease", "membership"],
  "manager/connection": [
    "common",
    "domain",
    "domain/validation",
    "domain/stored",
    "ports",
    "config",
    "observability",
    "socket/wire",
    "socket/dial",
    "messaging/publish",
    "messaging/correlation",
    "messaging",
    "membership/lease",
    "ownership/records",
    "ownership",
    "manager"
  ],
  "manager/operations": [
    "common",
    "domain",
    "domain/secrets",
    "domain/validation",
    "domain/stored",
    "ports",
    "observability",
    "messaging",
    "ownership",
    "manager",
    "manager/connection"
  ],
  "manager/migration": [
    "common",
    "domain",
    "domain/validation",
    "ports",
    "membership/peers",
    "membership",
    "ownership/records",
    "manager",
    "manager/connection"
  ],
  "manager/routing": [
    "common",
    "domain",
    "domain/validation",
    "domain/stored",
    "ports",
    "observability",
    "messaging",
    "membership",
    "ownership/records",
    "manager",
    "manager/connection",
    "manager/operations"
  ],
  "manager/ManagerLive.ts": [
    "common",
    "domain",
    "ports",
    "config",
    "observability",
    "state",
    "socket/wire",
    "messaging",
    "membership/lease",
    "membership",
    "ownership/records",
    "ownership",
    "manager",
    "manager/connection",
    "manager/operations",
    "manager/migration",
    "manager/routing"
  ],
  "api/rpc": ["common", "domain", "ports", "rpc", "config", "observability", "manager"],
  "api/grpc": ["common", "domain", "domain/secrets", "ports", "config", "observability", "manager", "api/rpc"],
  "api/http": ["common", "domain", "domain/secrets", "rpc", "config", "observability", "manager", "api/rpc"],
  app: [
    "domain",
    "ports",
    "rpc",
    "config",
    "observability",
    "state",
    "adapters/embedded",
    "adapters/secrets",
    "adapters/dapr",
    "adapters/peers",
    "socket",
    "messaging",
    "membership/lease",
    "membership",
    "ownership",
    "manager",
    "manager/routing",
    "manager/ManagerLive.ts",
    "api/rpc",
    "api/grpc",
    "api/http"
  ],
  cli: ["common", "domain", "rpc", "config"],
  "cli/commands": ["domain", "rpc", "config", "app", "cli"],
  "cli/Program.ts": ["cli", "cli/commands"],
  "main.ts": ["cli", "cli/Program.ts"],
  testing: ["domain", "ports", "config", "adapters/embedded", "socket/wire", "socket", "membership", "manager", "app"],
  "index.ts": [
    "domain",
    "ports",
    "rpc",
    "config",
    "observability",
    "adapters/embedded",
    "adapters/secrets",
    "adapters/dapr",
    "adapters/peers",
    "socket",
    "messaging",
    "membership/lease",
    "membership",
    "ownership",
    "manager",
    "app"
  ]
}

/** Files that know every sub-folder of their own folder, whose other files its sub-folders may know. */
const WHOLE: ReadonlyArray<string> = ["manager/ManagerLive.ts", "cli/Program.ts"]

/** Who must never know whom, below the level of rooms: [importer, imported]. */
const NEVER: ReadonlyArray<readonly [string, string]> = [
  ["socket", "ports/StateStore.ts"],
  ["socket", "ports/PubSub.ts"],
  ["messaging", "ports/StateStore.ts"],
  ["membership/lease/Heartbeat.ts", "ownership"]
]

const MOST_FILES = 16
const MOST_LINES = 300
/** The one table of all settings. */
const LONGER: ReadonlyArray<string> = ["config/Catalogue.ts"]
/** Commands of the shell are called as what they do. */
const SAME_NAME: ReadonlyArray<string> = ["cli/commands/drain.ts", "cli/commands/messages.ts"]

/**
 * What others call for a connection, a name or a topic goes through `common/CallbackGuard.ts`, which keeps what is thrown from
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
const textOf = (file: string): string => readFileSync(join(SRC, file), "utf8")

const folderOf = (file: string): string => (dirname(file) === "." ? file : dirname(file))
const roomOf = (file: string): string => (WHOLE.includes(file) ? file : folderOf(file))
const isIn = (file: string, places: ReadonlyArray<string>): boolean =>
  places.some((place) => file === place || file.startsWith(`${place}/`))

const importsOf = (file: string): ReadonlyArray<string> =>
  [...textOf(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)]
    .map((m) => relative(SRC, resolve(SRC, dirname(file), m[1]!)).replace(/\.js$/, ".ts"))
    .filter((to) => !to.includes("generated"))

const graph = new Map(files.map((file) => [file, importsOf(file)]))
const dependencies = files.flatMap((from) => graph.get(from)!.map((to) => ({ from, to })))

/** Known to so many that the picture leaves the arrows to them out. */
const GROUND = /^(?:common|domain(?:\/.+)?|config|observability)$/

/** The picture in a README: the fenced block in which each line is `room -> room, room`. */
const pictureIn = (text: string): ReadonlyArray<string> | undefined =>
  [...text.matchAll(/^```\w*\n([\s\S]*?)^```$/gm)]
    .map((block) => block[1]!.split("\n").filter((line) => line.trim() !== ""))
    .find((lines) => lines.length > 1 && lines.every((line) => /^[\w./]+ +->(?: |$)/.test(line)))

describe("the house", () => {
  it("every room is in the table, and none is there without files", () => {
    expect([...new Set(files.map(roomOf))].sort()).toEqual(Object.keys(MAY_IMPORT).sort())
  })

  it("the table goes from the ground up", () => {
    const rooms = Object.keys(MAY_IMPORT)
    const up = rooms.flatMap((room, floor) =>
      MAY_IMPORT[room]!.filter((known) => !rooms.slice(0, floor).includes(known)).map((known) => `${room} -> ${known}`)
    )
    expect(up).toEqual([])
  })

  it("dependencies point down, as the table says, between sub-folders too", () => {
    const wrong = dependencies
      .filter(({ from, to }) => roomOf(to) !== roomOf(from) && !MAY_IMPORT[roomOf(from)]?.includes(roomOf(to)))
      .map(({ from, to }) => `${from} -> ${to}`)
    expect(wrong).toEqual([])
  })

  it("the table allows no more than is used", () => {
    const used = new Set(dependencies.map(({ from, to }) => `${roomOf(from)} -> ${roomOf(to)}`))
    const unused = Object.entries(MAY_IMPORT).flatMap(([room, known]) =>
      known.map((to) => `${room} -> ${to}`).filter((arrow) => !used.has(arrow))
    )
    expect(unused).toEqual([])
  })

  it("the picture in the README of src is the table, without the arrows to what all know", () => {
    const lines = pictureIn(readFileSync(join(SRC, "README.md"), "utf8"))
    const arrows = (room: string, known: ReadonlyArray<string>) => `${room} -> ${[...known].sort().join(", ")}`.trim()
    const table = Object.entries(MAY_IMPORT).map(([room, known]) =>
      arrows(
        room,
        known.filter((to) => !GROUND.test(to))
      )
    )
    const picture = lines?.map((line) => {
      const [room, known] = line.split("->")
      return arrows(
        room!.trim(),
        known!.split(",").flatMap((to) => (to.trim() === "" ? [] : [to.trim()]))
      )
    })
    expect(picture?.toSorted()).toEqual(table.toSorted())
  })

  it("no file is in a circle of imports, those of types alone included", () => {
    /** what a file reaches, itself only by a circle */
    const reached = (file: string): ReadonlySet<string> => {
      const seen = new Set<string>()
      const next = [...graph.get(file)!]
      for (let to = next.pop(); to !== undefined; to = next.pop()) {
        if (seen.has(to)) continue
        seen.add(to)
        next.push(...(graph.get(to) ?? []))
      }
      return seen
    }
    expect(files.filter((file) => reached(file).has(file))).toEqual([])
  })

  it(`no folder has more than ${MOST_FILES} files of its own`, () => {
    const counts = new Map<string, number>()
    for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
    expect([...counts].filter(([, count]) => count > MOST_FILES)).toEqual([])
  })

  it(`no file has more than ${MOST_LINES} lines, but the table of settings`, () => {
    const long = files.filter((file) => textOf(file).trimEnd().split("\n").length > MOST_LINES)
    expect(long).toEqual(LONGER)
  })

  it("no two files have one name, but commands of the shell", () => {
    const byName = new Map<string, Array<string>>()
    for (const file of files.filter((f) => !SAME_NAME.includes(f))) {
      const name = basename(file).toLowerCase()
      byName.set(name, [...(byName.get(name) ?? []), file])
    }
    expect([...byName.values()].filter((same) => same.length > 1)).toEqual([])
  })

  it("file names of one folder are written alike: as types, and commands as they are typed", () => {
    const odd = files
      .filter((file) => dirname(file) !== ".")
      .filter((file) => {
        const typed = dirname(file) === "cli/commands"
        return !(typed ? /^[a-z]/ : /^[A-Z]/).test(basename(file))
      })
    expect(odd).toEqual([])
  })

  it("who must never know whom", () => {
    const wrong = dependencies
      .filter(({ from, to }) => NEVER.some(([place, never]) => isIn(from, [place]) && isIn(to, [never])))
      .map(({ from, to }) => `${from} -> ${to}`)
    expect(wrong).toEqual([])
  })

  it("no callback for a connection, a name or a topic goes past the guard", () => {
    const wrong = files
      .filter((file) => isIn(file, GUARDED))
      .flatMap((file) =>
        textOf(file)
          .split("\n")
          .map((line, i) => `${file}:${i + 1}: ${line.trim()}`)
          .filter((line) => PAST_THE_GUARD.test(line))
      )
    expect(wrong, "use listenTo, guard, later or whenTurnEnds of common/CallbackGuard.ts").toEqual([])
  })

  it("the words of the process and of vendors stand only where they may", () => {
    const wrong = WORDS.flatMap(({ allowed, word }) =>
      files.filter((file) => !isIn(file, allowed) && word.test(textOf(file))).map((file) => `${file}: ${word.source}`)
    )
    expect(wrong).toEqual([])
  })
})
