/** A process of the bench and the calls to it: one message there, one message back. */
import { fork } from "node:child_process"

/**
 * The calling side.
 *
 * @param {URL} script
 * @param {ReadonlyArray<string>} args
 * @param {ReadonlyArray<string>} execArgv
 */
export const start = async (script, args = [], execArgv = []) => {
  const child = fork(script, args, {
    execArgv: ["--expose-gc", ...execArgv],
    stdio: ["ignore", "inherit", "inherit", "ipc"]
  })
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  const waiting = new Map()
  let calls = 0
  child.on("message", (/** @type {any} */ { number, value, error }) => {
    const call = waiting.get(number)
    waiting.delete(number)
    if (error === undefined) call?.resolve(value)
    else call?.reject(new Error(`${script.pathname}: ${error}`))
  })
  const ended = new Promise((resolve) => {
    child.on("exit", (code, signal) => {
      for (const { reject } of waiting.values()) reject(new Error(`${script.pathname} ended with ${signal ?? code}`))
      waiting.clear()
      resolve(undefined)
    })
  })

  /** @type {(name: string, options?: object) => Promise<any>} */
  const call = (name, options = {}) =>
    new Promise((resolve, reject) => {
      const number = calls++
      waiting.set(number, { resolve, reject })
      child.send({ number, name, options })
    })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill("SIGTERM")
    const force = setTimeout(() => child.kill("SIGKILL"), 5000)
    await ended
    clearTimeout(force)
  }
  await call("ready")
  return { call, stop }
}

/**
 * The called side: answers every call by the function of its name.
 *
 * @param {Record<string, (options: any) => unknown>} functions
 */
export const answer = (functions) => {
  process.on("message", async (/** @type {any} */ { number, name, options }) => {
    try {
      const value = name === "ready" ? true : await functions[name](options)
      process.send?.({ number, value })
    } catch (error) {
      process.send?.({ number, error: error instanceof Error ? error.stack : String(error) })
    }
  })
  process.on("disconnect", () => process.exit(0))
  // An orderly end, so that a profiler can write down what it saw.
  process.on("SIGTERM", () => process.exit(0))
}
