/**
 * Ports of the loopback interface for servers that are stopped and come back on the same port.
 *
 * They lie below the range from which the kernel gives ports to outgoing connections and to listeners on port 0, and a file
 * holds each against the other test processes of this machine, also while its server is down.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const FOLDER = join(tmpdir(), "wsm-test-ports")
const FIRST = 20_000
const COUNT = 12_000

/** A port nobody listens on, held until the scope ends. */
export const freePort: Effect.Effect<number, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    mkdirSync(FOLDER, { recursive: true })
    for (;;) {
      const port = FIRST + Math.floor(Math.random() * COUNT)
      if (!reserve(port)) continue
      if (await listenable(port)) return port
      release(port)
    }
  }),
  (port) => Effect.sync(() => release(port))
)

const fileOf = (port: number): string => join(FOLDER, String(port))
const release = (port: number): void => rmSync(fileOf(port), { force: true })

const reserve = (port: number): boolean => {
  for (const secondTry of [false, true]) {
    try {
      const file = openSync(fileOf(port), "wx")
      writeSync(file, String(process.pid))
      closeSync(file)
      return true
    } catch {
      // The holder may have been killed: its file is then nobody's.
      if (secondTry || holderLives(port)) return false
      release(port)
    }
  }
  return false
}

const holderLives = (port: number): boolean => {
  try {
    const pid = Number(readFileSync(fileOf(port), "utf8"))
    // Between the two steps of reserving, the file is empty.
    if (pid > 0) process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const listenable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const listener = createServer()
    listener.once("error", () => resolve(false))
    listener.listen(port, "127.0.0.1", () => listener.close(() => resolve(true)))
  })
