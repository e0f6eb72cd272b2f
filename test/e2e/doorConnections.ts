/** Connections made over a door, and the peer that they lead to, which behaves as the path it is asked for says. */
import type { ConnectRequest } from "../../src/domain/Spec.js"
import type { Connection } from "../../src/domain/Messages.js"
import type { Door } from "../support/Doors.js"
import { type Peer, ScriptedServer } from "../support/ScriptedServer.js"

const LATE_MS = 30

/** `/echo…` sends every frame back, `/late…` does so a little later and answers hello with welcome; others only listen. */
export const startPeer = async (): Promise<ScriptedServer> => {
  const server = await ScriptedServer.start()
  server.onFrame = (peer, data, binary) => {
    if (peer.url.startsWith("/echo")) peer.ws.send(data, { binary })
    if (peer.url.startsWith("/late")) {
      setTimeout(() => peer.ws.send(String(data) === "hello" ? "welcome" : data, { binary }), LATE_MS)
    }
  }
  return server
}

export const bytes = (text: string): Uint8Array => Buffer.from(text)
export const text = (data: Uint8Array): string => Buffer.from(data).toString()

export interface Connected {
  readonly id: string
  readonly connection: Connection
  readonly peer: Peer
}

let connects = 0

/** Connects, and finds the peer's end of it: the first socket that carries the header of this call. */
export const connect = async (
  door: Door,
  server: ScriptedServer,
  path: string,
  request: Partial<ConnectRequest> = {}
): Promise<Connected> => {
  const mark = String(++connects)
  const { connection, id } = await door.call("Connect", {
    url: server.url + path,
    reconnect: { baseDelayMs: 20, maxDelayMs: 40 },
    ...request,
    headers: { ...request.headers, "X-Mark": mark }
  })
  return { id, connection, peer: server.peers.find(({ headers }) => headers["x-mark"] === mark)! }
}

export const get = async (door: Door, id: string): Promise<Connection> => (await door.call("Get", { id })).connection

/** The ids of all connections that have this tag. */
export const tagged = async (door: Door, key: string, value: string): Promise<ReadonlyArray<string>> => {
  const { connections } = await door.call("List", { filters: [{ key, value }] })
  return connections.map(({ id }) => id)
}

/** Removes every connection, so that none goes on dialling what a test has stopped. */
export const disconnectAll = async (door: Door): Promise<void> => {
  const { connections } = await door.call("List", { pageSize: 1000 })
  await Promise.all(connections.map(({ id }) => door.call("Disconnect", { id })))
}
