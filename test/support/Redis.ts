/** A real Redis on a free loopback port, gone with the scope. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./Ports.js"
import { asked, find, flags, type ProcessFailed, type Server, serverFolder, startServer } from "./processes.js"
import { type Reply, Resp } from "./Resp.mjs"

export interface RedisOptions {
  /** what it holds survives its end; otherwise it comes back empty */
  readonly persistent?: boolean
  /** what it asks for */
  readonly password?: string
  /** further arguments, such as `["--maxmemory", "64mb"]` */
  readonly args?: ReadonlyArray<string>
}

export interface Redis extends Server {
  readonly port: number
  /** one command on a connection of its own */
  readonly command: (...words: ReadonlyArray<string | Uint8Array>) => Effect.Effect<Reply, ProcessFailed>
}

export const redisAvailable = (): boolean => find("redis-server") !== undefined

export const startRedis = (options: RedisOptions = {}): Effect.Effect<Redis, ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* serverFolder("redis")
    const port = yield* freePort
    if (options.password !== undefined) Resp.passwords.set(port, options.password)
    else Resp.passwords.delete(port)
    const server = yield* startServer({
      name: "redis",
      command: find("redis-server") ?? "redis-server",
      folder,
      args: [
        ...flags({
          port,
          bind: "127.0.0.1",
          dir: folder,
          save: "",
          appendonly: options.persistent === true ? "yes" : "no",
          "maxmemory-policy": "noeviction",
          requirepass: options.password
        }),
        ...(options.args ?? [])
      ],
      ready: async () => (await Resp.once(port, "PING")) === "PONG"
    })
    return { ...server, port, command: (...words) => asked(() => Resp.once(port, ...words)) }
  })
