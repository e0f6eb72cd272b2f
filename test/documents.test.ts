/** Documents that are cited are there: files, headings, and links between documents. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { describe, expect, it } from "vitest"
import { ERROR_TABLE } from "../src/domain/Errors.js"
import { LIFECYCLE_NAMES } from "../src/domain/ConnectionEvent.js"

const ROOT = resolve(import.meta.dirname, "..")

const filesBelow = (folder: string, kind: RegExp): ReadonlyArray<string> =>
  (readdirSync(join(ROOT, folder), { recursive: true }) as Array<string>)
    .map((file) => join(folder, file))
    .filter((file) => kind.test(file) && !/node_modules|generated/.test(file))

const DOCUMENTS = [
  ...readdirSync(ROOT).filter((file) => file.endsWith(".md")),
  ...["src", "test", "proto", "dapr-components"].flatMap((folder) => filesBelow(folder, /\.md$/))
]
const SOURCES = ["src", "test", "proto"].flatMap((folder) => filesBelow(folder, /\.(ts|mjs|proto)$/))

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8")
const withoutCode = (text: string): string => text.replace(/```[^]*?```/g, "")

const headings = (file: string): ReadonlyArray<string> =>
  [...withoutCode(read(file)).matchAll(/^#+ (.+)$/gm)].map((match) => match[1]!.replaceAll("`", "").trim())

/** As a page on the web names a heading. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-")

/** `(src/ownership/README.md, Renewing)`, also with several headings, over two lines of a comment. */
const citations = (text: string): ReadonlyArray<{ file: string; headings: ReadonlyArray<string> }> =>
  [...text.replace(/\n\s*(?:\*|\/\/)?\s*/g, " ").matchAll(/\(((?:[\w.-]+\/)*[\w-]+\.md)(?:, ([^()]+))?\)/g)].map(
    (match) => ({ file: match[1]!, headings: match[2] === undefined ? [] : match[2].split(/;\s*/) })
  )

describe("documents", () => {
  it("that comments cite are there, with the headings that are cited", () => {
    const wrong = SOURCES.flatMap((source) =>
      citations(read(source)).flatMap(({ file, headings: cited }) => {
        if (!existsSync(join(ROOT, file))) return [`${source}: there is no ${file}`]
        const there = headings(file)
        return cited.filter((one) => !there.includes(one)).map((one) => `${source}: ${file} has no heading "${one}"`)
      })
    )
    expect(wrong).toEqual([])
    expect(SOURCES.flatMap((source) => citations(read(source))).length, "citations found").toBeGreaterThan(25)
  })

  it("are cited by name, and never by a number or a page that is not here", () => {
    const wrong = [...SOURCES, ...DOCUMENTS].filter(
      (file) =>
        !file.endsWith("documents.test.ts") && /\b(?:architecture|contract|specification), section \d/.test(read(file))
    )
    expect(wrong).toEqual([])
  })

  it("link to files and headings that are there", () => {
    const wrong = DOCUMENTS.flatMap((document) =>
      [...withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g)]
        .map((match) => match[1]!)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => {
          const [path = "", anchor] = link.split("#")
          const target = path === "" ? document : relative(ROOT, resolve(ROOT, dirname(document), path))
          if (!existsSync(join(ROOT, target))) return true
          if (anchor === undefined || statSync(join(ROOT, target)).isDirectory()) return false
          return !headings(target).map(slug).includes(anchor)
        })
        .map((link) => `${document}: ${link}`)
    )
    expect(wrong).toEqual([])
  })

  it("name files of the code that are there", () => {
    const names = new Set(SOURCES.map((file) => file.split("/").pop()))
    const wrong = DOCUMENTS.filter((file) => /^(?:src|proto|test)\/|CONTRIBUTING/.test(file)).flatMap((document) =>
      [...withoutCode(read(document)).matchAll(/`([\w/.{},<>-]*?\w+\.ts)`/g)]
        .map((match) => match[1]!)
        .filter((path) => !/[{<*]/.test(path))
        .filter((path) => {
          if (!path.includes("/")) return !names.has(path)
          return (
            ![ROOT, join(ROOT, "src"), join(ROOT, dirname(document))].some((from) => existsSync(join(from, path))) &&
            !SOURCES.some((file) => file.endsWith(`/${path}`))
          )
        })
        .map((path) => `${document}: ${path}`)
    )
    expect(wrong).toEqual([])
  })

  it("show every folder of the source in the picture of the house", () => {
    const picture = /```text\n([^]*?)```/.exec(read("src/README.md"))![1]!
    const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    expect(folders.map(({ name }) => name).filter((name) => !picture.includes(name))).toEqual([])
  })

  it("of the wire name every event and every error, with its status", () => {
    const page = read("proto/README.md")
    const rows = new Map([...page.matchAll(/^\| `([\w-]+)` \|(.*)\|$/gm)].map((match) => [match[1]!, match[2]!]))
    expect(LIFECYCLE_NAMES.filter((name) => !rows.has(name))).toEqual([])
    const wrong = Object.entries(ERROR_TABLE).filter(([tag, { http }]) => !rows.get(tag)?.includes(`| ${http} |`))
    expect(wrong).toEqual([])
  })
})
