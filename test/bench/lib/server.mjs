/** A manager as a user starts it: `wsm serve` in a process of its own. */
import { spawn } from "node:child_process"
import { join } from "node:path"

const OPTIONS = ["--http-port", "0", "--grpc-port", "0", "--data-dir", "", "--log-level", "none", "--egress", "any"]
const UP = /^websocketmanager is up: http (\S+) {2}grpc (\S+)/m

/** @param {string} dist */
export const startServer = async (dist) => {
  const child = spawn(process.execPath, [join(dist, "main.js"), "serve", ...OPTIONS, "--dial-rate-per-host", "10000"], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  const ended = new Promise((resolve) => child.on("exit", resolve))
  let output = ""
  /** @type {RegExpExecArray} */
  const [, httpUrl, grpcAddress] = await new Promise((resolve, reject) => {
    const read = (/** @type {Buffer} */ chunk) => {
      output += chunk
      const found = UP.exec(output)
      if (found !== null) resolve(found)
    }
    child.stdout.on("data", read)
    child.stderr.on("data", read)
    child.on("exit", (code) => reject(new Error(`the manager ended with ${code}: ${output}`)))
  })
  const stop = async () => {
    child.kill("SIGTERM")
    const force = setTimeout(() => child.kill("SIGKILL"), 10_000)
    await ended
    clearTimeout(force)
  }
  return { httpUrl, grpcAddress, stop }
}
