#!/usr/bin/env node
/**
 * The process: reads the command line, runs the command, ends with its status. The only `runMain`.
 *
 * The first SIGTERM, SIGINT or SIGQUIT asks the command to end and gives it a deadline; the second ends the process at once.
 * SIGHUP ends no instance: what reads its files anew listens to it.
 */
import { existsSync, readFileSync } from "node:fs"

/** What a command may take to end after a signal unless it asks for more, milliseconds. */
const END_WITHIN = 2000
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const

const argv = process.argv.slice(2)

/** Of the package this file stands in, however deep its build was put. */
const versionOf = (folder: URL): string => {
  const file = new URL("package.json", folder)
  if (existsSync(file)) return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version
  const above = new URL("..", folder)
  return above.href === folder.href ? "unknown" : versionOf(above)
}
const version = versionOf(new URL("./", import.meta.url))

const fatal = (what: string) => (cause: unknown) => {
  process.stderr.write(`wsm: ${what}: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`)
  process.exit(1)
}

if (argv.length === 1 && argv[0] === "--version") {
  // answered before anything big is loaded
  process.stdout.write(`${version}\n`)
} else {
  process.on("unhandledRejection", fatal("a rejection that nobody handled"))
  process.on("uncaughtException", fatal("an exception that nobody caught"))
  const heard = () => {}
  process.on("SIGHUP", heard)

  const [Cause, Effect, Exit, NodeRuntime, { CliHost }, { processCliHost: processHost }, { program }] =
    await Promise.all([
      import("effect/Cause"),
      import("effect/Effect"),
      import("effect/Exit"),
      import("@effect/platform-node/NodeRuntime"),
      import("./cli/CliHost.js"),
      import("./cli/ProcessCliHost.js"),
      import("./cli/Program.js")
    ])

  let endWithin = END_WITHIN
  let ending: number | undefined
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      if (ending !== undefined) process.exit(128 + number)
      ending = number
      setTimeout(() => fatal("ended by force")(`not done ${endWithin} ms after ${name}`), endWithin).unref()
    })
  }

  process.on("SIGQUIT", () => process.emit("SIGTERM", "SIGTERM"))

  const { endless, run, serves } = program(argv, version)
  // whatever else was started from a terminal ends with it
  if (!serves) process.off("SIGHUP", heard)
  const host = processHost((millis) => (endWithin = millis))
  NodeRuntime.runMain(Effect.provideService(run, CliHost, host), {
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit) => {
      if (Exit.isSuccess(exit)) return process.exit(exit.value as number)
      if (!Cause.isInterruptedOnly(exit.cause)) return fatal("a fault while ending")(Cause.pretty(exit.cause))
      process.exit(endless ? 0 : 128 + (ending ?? SIGNALS.SIGINT))
    }
  })
}
