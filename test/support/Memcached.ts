/** A real memcached on a free loopback port, gone with the scope. */
import { createConnection } from "node:net"
import { once } from "node:events"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./Ports.js"
import { find, type ProcessFailed, serverFolder, startServer } from "./processes.js"

export const memcachedAvailable = (): boolean => find("memcached") !== undefined

/** Its port. */
export const startMemcached: Effect.Effect<number, ProcessFailed, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* serverFolder("memcached")
  const port = yield* freePort
  yield* startServer({
    name: "memcached",
    command: find("memcached") ?? "memcached",
    folder,
    // It refuses to be root without being told so; the user is ignored for anybody else.
    args: ["--port", `${port}`, "--listen", "127.0.0.1", "--user", "root"],
    ready: async () => (await version(port)).startsWith("VERSION ")
  })
  return port
})

const version = async (port: number): Promise<string> => {
  const socket = createConnection(port, "127.0.0.1", () => socket.write("version\r\n"))
  try {
    const [answer] = (await once(socket, "data")) as [Buffer]
    return answer.toString()
  } finally {
    socket.destroy()
  }
}
