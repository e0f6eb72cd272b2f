/**
 * Reads the words of a command line into the strict order that `@effect/cli` wants: command, options, then arguments.
 *
 * People write `wsm connect URL --topic T`; the library takes options only before arguments, cuts the blanks off repeated
 * values and takes `--help` for a question wherever it stands. So values travel through it in a guarded form (`guard`,
 * undone by the options and arguments of `Parameters.ts`). What is unknown is refused here, by name.
 */
import type { Command } from "@effect/cli/CommandDescriptor"
import * as Descriptor from "@effect/cli/CommandDescriptor"
import type { Usage } from "@effect/cli/Usage"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { UsageError } from "./Failure.js"
import { plain } from "./Text.js"

const GUARD = "v:"
export const guard = (value: string): string => GUARD + encodeURIComponent(value)
export const unguard = (value: string): string =>
  value.startsWith(GUARD) ? decodeURIComponent(value.slice(GUARD.length)) : value

/** A text of the library, the values in it as they were written. */
export const unguardIn = (text: string): string => text.replace(/(?<=')v:[^']*(?=')/g, (value) => plain(unguard(value)))

/** A command line that was read. */
export interface CommandLine {
  /** "": none was named */
  readonly command: string
  /** the words for `@effect/cli`, without the two in front of them */
  readonly words: ReadonlyArray<string>
  /** the options that were asked to be kept apart, as written, the last one wins: name without `--` -> value */
  readonly given: ReadonlyMap<string, string>
}

/** The options of a usage: name -> takes a value. */
const optionsOf = (usage: Usage): ReadonlyMap<string, boolean> => {
  const found = new Map<string, boolean>()
  const walk = (usage: Usage): void => {
    switch (usage._tag) {
      case "Named":
        for (const name of usage.names) {
          if (name.startsWith("-")) found.set(name, Option.isSome(usage.acceptedValues))
        }
        break
      case "Optional":
      case "Repeated":
        walk(usage.usage)
        break
      case "Alternation":
      case "Concat":
        walk(usage.left)
        walk(usage.right)
        break
      case "Empty":
      case "Mixed":
        break
    }
  }
  walk(usage)
  return found
}

const refuse = (line: string) => Either.left(new UsageError({ line }))

/**
 * Reads what stands after `wsm`. Options that `apart` names are only collected in `given`. Of options that `instead`
 * answers for, the refusal repeats nothing that was given.
 */
export const read = (
  root: Command<unknown>,
  argv: ReadonlyArray<string>,
  apart: (command: string, option: string) => boolean,
  instead: (option: string) => string | undefined = () => undefined
): Either.Either<CommandLine, UsageError> => {
  if (argv.length === 0 || (argv.length === 1 && /^(--help|-h|help)$/.test(argv[0]!))) {
    return Either.right({ command: "", words: ["--help"], given: new Map() })
  }
  if (argv[0] === "--version") return Either.right({ command: "", words: ["--version"], given: new Map() })
  if (argv[0] === "--completions") {
    return argv.length === 2 && /^(bash|fish|zsh)$/.test(argv[1]!)
      ? Either.right({ command: "", words: argv, given: new Map() })
      : refuse("--completions is for one of bash, fish, zsh")
  }
  for (const word of argv) {
    if (word === "--") break
    const line = instead(word.split("=", 1)[0]!)
    if (line !== undefined) return refuse(line)
  }
  const commands = HashMap.toEntries(Descriptor.getSubcommands(root))
  const all = new Map(commands.flatMap(([, command]) => [...optionsOf(Descriptor.getUsage(command))]))
  const at = firstArgument(argv, all)
  if (at === -1) return refuse("name a command: 'wsm --help' lists them")
  const name = argv[at]!
  const command = commands.find(([own]) => own === name)?.[1]
  if (command === undefined) return refuse(`there is no command '${name}': 'wsm --help' lists them`)

  const known = optionsOf(Descriptor.getUsage(command))
  const rest = [...argv.slice(0, at), ...argv.slice(at + 1)]
  const options: Array<string> = []
  const positional: Array<string> = []
  const given = new Map<string, string>()
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!
    if (word === "--") {
      positional.push(...rest.slice(i + 1))
      break
    }
    if (word === "--help" || word === "-h") return Either.right({ command: name, words: [name, "--help"], given })
    if (!word.startsWith("--")) {
      // a lone dash and negative words are arguments: no command has short options
      positional.push(word)
      continue
    }
    const equals = word.indexOf("=")
    const option = equals === -1 ? word : word.slice(0, equals)
    const takesValue = known.get(option)
    if (takesValue === undefined) {
      return refuse(`'wsm ${name}' has no option '${option}': 'wsm ${name} --help' lists them`)
    }
    const isApart = apart(name, option.slice(2))
    if (!takesValue && isApart) {
      given.set(option.slice(2), equals === -1 ? "true" : word.slice(equals + 1))
      continue
    }
    if (!takesValue) {
      if (equals !== -1) return refuse(`the option '${option}' takes no value`)
      options.push(option)
      continue
    }
    const value = equals === -1 ? rest[++i] : word.slice(equals + 1)
    if (value === undefined) return refuse(`the option '${option}' needs a value`)
    if (isApart) given.set(option.slice(2), value)
    else options.push(option, guard(value))
  }
  return Either.right({ command: name, words: [name, ...options, "--", ...positional.map(guard)], given })
}

/** Where the command's name stands: the first word that is neither an option nor the value of one. */
const firstArgument = (argv: ReadonlyArray<string>, options: ReadonlyMap<string, boolean>): number => {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (!word.startsWith("-")) return i
    if (!word.includes("=") && options.get(word) === true) i++
  }
  return -1
}
