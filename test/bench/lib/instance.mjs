/** An instance as a user starts it, `wsm serve` in a process of its own, with a typed client. */
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"

const UP = /^websocketmanager is up: http (\S+)/m

/** @typedef {Awaited<ReturnType<typeof startInstance>>} Instance */

/**
 * Done when its doors are open.
 *
 * @param {object} options
 * @param {string} options.dist
 * @param {ReadonlyArray<string>} options.flags further flags of `wsm serve`
 * @param {string} [options.log] file that its log is added to; it logs nothing without
 * @param {Set<{ kill: (signal: NodeJS.Signals) => unknown }>} options.children it is one of these while it runs
 */
export const startInstance = async ({ children, dist, flags, log }) => {
  const { layer, ManagerClient } = await import(pathToFileURL(join(dist, "rpc/Client.js")).href)
  const ports = ["--http-port", "0", "--grpc-port", "0", "--log-level", log === undefined ? "none" : "debug"]
  const errors = log === undefined ? "inherit" : openSync(log, "a")
  const child = spawn(process.execPath, [join(dist, "main.js"), "serve", ...ports, ...flags], {
    stdio: ["ignore", "pipe", errors]
  })
  if (typeof errors === "number") closeSync(errors)
  children.add(child)
  const ended = new Promise((resolve) => child.on("exit", resolve))
  void ended.then(() => children.delete(child))
  const url = await new Promise((resolve, reject) => {
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += chunk
      const found = UP.exec(output)
      if (found !== null) resolve(found[1])
    })
    child.on("exit", (code) => reject(new Error(`wsm serve ended with ${code}: ${output}`)))
  })
  const runtime = ManagedRuntime.make(layer({ url }))

  return {
    url,
    pid: child.pid,
    call: (/** @type {(client: any) => Effect.Effect<any, any>} */ use) =>
      runtime.runPromise(Effect.flatMap(ManagerClient, use)),
    /**
     * Every event of a topic from now on, as JSON, and how many were missed before it; done when it has begun. It ends with
     * the instance.
     */
    subscribe: (/** @type {string} */ topic, /** @type {(event: any, missed: number) => void} */ each) =>
      new Promise((resolve, reject) => {
        const reading = Effect.gen(function* () {
          const client = yield* ManagerClient
          const stream = yield* client.open("Subscribe", { topic })
          resolve(undefined)
          yield* Stream.runForEach(stream, ({ event, missed }) =>
            Effect.sync(() => each(JSON.parse(Buffer.from(event).toString()), missed))
          )
        })
        runtime.runCallback(Effect.scoped(reading), {
          onExit: (exit) => {
            if (Exit.isFailure(exit)) reject(new Error(String(exit.cause)))
          }
        })
      }),
    signal: (/** @type {NodeJS.Signals} */ signal) => child.kill(signal),
    /** Sends the signal and waits for the end; the status it ended with. */
    end: async (/** @type {NodeJS.Signals} */ signal) => {
      child.kill(signal)
      const status = await ended
      void runtime.dispose()
      return status
    }
  }
}
