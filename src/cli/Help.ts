/** The texts of `--help`. */
import * as CliConfig from "@effect/cli/CliConfig"
import type { Command } from "@effect/cli/CommandDescriptor"
import * as Descriptor from "@effect/cli/CommandDescriptor"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type { Usage } from "@effect/cli/Usage"
import * as HashMap from "effect/HashMap"

const ANSI = /\u001b\[[0-9;]*m/g

/** A text of `@effect/cli` as one line, without the colours it always has. */
export const oneLine = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.toAnsiText(doc).replace(ANSI, "").replace(/\s+/g, " ").trim()

const SECTIONS: ReadonlyArray<readonly [title: string, commands: ReadonlyArray<string>]> = [
  ["Run", ["serve", "feed", "check-config", "backup"]],
  ["Connections", ["connect", "ls", "get", "publish", "unpublish", "reconnect", "disconnect"]],
  ["Messages", ["send", "tail", "subscribe"]],
  ["Fleet", ["events", "instances", "migrate", "drain", "rebalance"]]
]

/** The arguments of a usage, as they are written: `ID [INSTANCE]`. */
const argumentsOf = (usage: Usage): string => {
  switch (usage._tag) {
    case "Named":
      return usage.names
        .filter((name) => name.startsWith("<"))
        .map((name) => name.slice(1, -1))
        .join(" ")
    case "Optional": {
      const inner = argumentsOf(usage.usage)
      return inner === "" ? "" : `[${inner}]`
    }
    case "Repeated":
      return argumentsOf(usage.usage)
    case "Alternation":
    case "Concat":
      return [argumentsOf(usage.left), argumentsOf(usage.right)].filter((part) => part !== "").join(" ")
    case "Empty":
    case "Mixed":
      return ""
  }
}

const config = CliConfig.make({ showBuiltIns: false })

/** `wsm --help` */
export const overview = (root: Command<unknown>, version: string): string => {
  const commands = Descriptor.getSubcommands(root)
  const rows = SECTIONS.map(
    ([title, names]) =>
      [
        title,
        names.flatMap((name) => {
          const command = HashMap.get(commands, name)
          return command._tag === "None" ? [] : [[head(name, command.value), summary(command.value)] as const]
        })
      ] as const
  )
  const width = Math.max(...rows.flatMap(([, lines]) => lines.map(([head]) => head.length)))
  return [
    `wsm ${version} - keeps outbound WebSocket connections alive for other services`,
    "",
    "Usage: wsm COMMAND [OPTIONS] [ARGUMENTS]",
    ...rows.flatMap(([title, lines]) => [
      "",
      title,
      ...lines.map(([head, summary]) => `  ${head.padEnd(width)}  ${summary}`)
    ]),
    "",
    "Every command has --help. Commands that call a manager take --server URL (WSM_SERVER, else",
    "http://127.0.0.1:5001) and --json; WSM_API_TOKEN is the token. Words after -- are arguments.",
    "D is a duration, as 10 seconds or 500 millis; SIZE as 8 MiB; what is followed by ... may be repeated.",
    "Exit status: 0 done, 1 failed, 2 the command line cannot be read.",
    "Completions for a shell: wsm --completions bash|zsh|fish"
  ].join("\n")
}

const head = (name: string, command: Command<unknown>): string =>
  `${name} ${argumentsOf(Descriptor.getUsage(command))}`.trimEnd()

const summary = (command: Command<unknown>): string => {
  const paragraph = sections(Descriptor.getHelp(command, config)).find(({ title }) => title === "DESCRIPTION")
  return paragraph?.lines.join(" ") ?? ""
}

interface Section {
  readonly title: string
  readonly lines: Array<string>
  readonly entries: Array<readonly [name: string, text: string]>
}

/** What the library says about each value, where the option's or argument's own text says it better. */
const BOILERPLATE = /^(A user-defined piece of text\.|A true or false value\.|This (setting|option) .*)$/

/** The library's help as plain data: its own rendering takes nine lines an option. */
const sections = (doc: HelpDoc.HelpDoc): ReadonlyArray<Section> => {
  const found: Array<Section> = []
  const walk = (doc: HelpDoc.HelpDoc): void => {
    switch (doc._tag) {
      case "Header":
        found.push({ title: oneLine(HelpDoc.p(doc.value)), lines: [], entries: [] })
        break
      case "Paragraph":
        found.at(-1)?.lines.push(oneLine(doc))
        break
      case "DescriptionList":
        for (const [name, text] of doc.definitions) {
          found.at(-1)?.entries.push([oneLine(HelpDoc.p(name)), paragraphs(text)])
        }
        break
      case "Sequence":
        walk(doc.left)
        walk(doc.right)
        break
      case "Enumeration":
      case "Empty":
        break
    }
  }
  walk(doc)
  return found
}

const paragraphs = (doc: HelpDoc.HelpDoc): string => {
  if (doc._tag === "Sequence") return [paragraphs(doc.left), paragraphs(doc.right)].filter((p) => p !== "").join(" ")
  const text = oneLine(doc)
  return BOILERPLATE.test(text) ? "" : text
}

/** `wsm COMMAND --help` */
export const commandHelp = (root: Command<unknown>, name: string, columns: number): string => {
  const command = HashMap.unsafeGet(Descriptor.getSubcommands(root), name)
  const [own, ...rest] = head(name, command).split(" ")
  const parts = sections(Descriptor.getHelp(command, config))
  const width = Math.max(...parts.flatMap(({ entries }) => entries.map(([name]) => name.length)), 0)
  const titles: Readonly<Record<string, string>> = { ARGUMENTS: "Arguments", OPTIONS: "Options" }
  return [
    `Usage: wsm ${[own, "[OPTIONS]", ...rest].join(" ")}`,
    ...parts.flatMap(({ entries, lines, title }) => [
      "",
      ...(title in titles ? [titles[title]!] : lines),
      ...entries.flatMap(([name, text]) =>
        wrap(text, Math.max(40, columns - width - 4)).map((line, i) =>
          `  ${(i === 0 ? name.replace(/^<(.*)>$/, "$1") : "").padEnd(width)}  ${line}`.trimEnd()
        )
      )
    ])
  ].join("\n")
}

/** Lines of at most `width` characters, cut between words. */
const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines = [""]
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`
  }
  return lines
}
