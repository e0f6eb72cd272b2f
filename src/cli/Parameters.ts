/** The options and arguments of the commands: names, texts for `--help`, and how their values are read. */
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { guard, unguard } from "./CommandLine.js"

type Reader<A> = (text: string) => Either.Either<A, string>

const reading =
  <A>(name: string, read: Reader<A>) =>
  (guarded: string): Effect.Effect<A, ValidationError.ValidationError> => {
    const value = unguard(guarded)
    return Either.match(read(value), {
      onLeft: (rule) =>
        Effect.fail(ValidationError.invalidValue(HelpDoc.p(`${name} cannot be '${guard(value)}': ${rule}`))),
      onRight: Effect.succeed
    })
  }

const asWritten: Reader<string> = Either.right

const option = <A>(name: string, as: string, read: Reader<A>, help: string): Options.Options<A> =>
  Options.text(name).pipe(
    Options.withPseudoName(as),
    Options.withDescription(help),
    Options.mapEffect(reading(`--${name}`, read))
  )

/** An option that may be left out: undefined then. */
export const optional = <A>(name: string, as: string, read: Reader<A>, help: string): Options.Options<A | undefined> =>
  Options.map(Options.optional(option(name, as, read, help)), Option.getOrUndefined)

export const optionalText = (name: string, as: string, help: string): Options.Options<string | undefined> =>
  optional(name, as, asWritten, help)

/** An option that may be given any number of times. */
export const repeated = <A>(
  name: string,
  as: string,
  read: Reader<A>,
  help: string
): Options.Options<ReadonlyArray<A>> =>
  Options.text(name).pipe(
    Options.withPseudoName(as),
    Options.withDescription(help),
    Options.repeated,
    Options.mapEffect((values) => Effect.forEach(values, reading(`--${name}`, read)))
  )

export const repeatedText = (name: string, as: string, help: string): Options.Options<ReadonlyArray<string>> =>
  repeated(name, as, asWritten, help)

export const flag = (name: string, help: string): Options.Options<boolean> =>
  Options.boolean(name).pipe(Options.withDescription(help))

export const argument = (name: string, help: string): Args.Args<string> =>
  Args.text({ name }).pipe(Args.withDescription(help), Args.map(unguard))

export const optionalArgument = (name: string, help: string): Args.Args<string | undefined> =>
  Args.map(Args.optional(argument(name, help)), Option.getOrUndefined)
