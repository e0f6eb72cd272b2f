/** As much of a memcached as Dapr asks when it loads the component: its version. No record is ever kept. */
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Its port. */
export const startMemcached: Effect.Effect<number, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {}).on("close", () => sockets.delete(socket))
      socket.on("data", (data) =>
        socket.write(data.toString().startsWith("version") ? "VERSION 1.6.0\r\n" : "ERROR\r\n")
      )
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    return { server, sockets }
  }),
  ({ server, sockets }) =>
    Effect.sync(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
).pipe(Effect.map(({ server }) => (server.address() as AddressInfo).port))
