/** Servers of others: started with a folder of their own on free loopback ports, awaited, ended, and what they cost. */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sleep } from "./stats.mjs"

const START_MS = 15_000

/**
 * With a folder that is gone, and processes that are ended, by `stop`, or when it cannot be started.
 *
 * @template {object} A
 * @param {(folder: string, started: <P extends import("node:child_process").ChildProcess>(child: P) => P) => Promise<A>} use
 * @returns {Promise<A & { stop: () => Promise<void> }>}
 */
export const inFolder = async (use) => {
  const folder = mkdtempSync(join(tmpdir(), "wsm-bench-"))
  const processes = []
  const stop = async () => {
    for (const child of processes.splice(0).toReversed()) await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const value = await use(folder, (child) => {
      processes.push(child)
      return child
    })
    return { ...value, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export const run = (command, options) =>
  spawn(
    command,
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]),
    {
      stdio: "ignore",
      // Where there is no interface but loopback, it ends without.
      env: { ...process.env, DAPR_HOST_IP: "127.0.0.1" }
    }
  )

const end = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve(undefined)
    child.on("exit", resolve)
    child.kill("SIGKILL")
  })

export const until = async (child, ready) => {
  const deadline = Date.now() + START_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`)
    try {
      return await ready()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await sleep(30)
  }
}

/** Below the range from which the kernel gives ports to outgoing connections: many are made here. */
export const freePorts = async (/** @type {number} */ count) => {
  const ports = new Set()
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await listenable(port)) ports.add(port)
  }
  return [...ports]
}

const listenable = (port) =>
  new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/** Ticks of /proc per second: USER_HZ, 100 on every Linux that node runs on (proc(5), time(7)). */
const TICKS = 100

/** Behind the name, which may hold anything: fields 14 and 15, in ticks. @param {number} pid */
export const cpuOf = (pid) => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6
}
