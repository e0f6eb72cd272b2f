/**
 * Sockets that come to a door, counted before a byte of them is read: so many in all, and so many of one address.
 */
import type * as Net from "node:net"
import { STRANGER } from "../../domain/Limits.js"
import { mostOfADoor } from "../../observability/Descriptors.js"

export type Refused = (reason: string, address: string | undefined) => void

export const guard = (server: Net.Server, refused: Refused): void => {
  const most = mostOfADoor(STRANGER.CONNECTIONS)
  const ofOne = Math.ceil(most / STRANGER.CONNECTIONS_SHARE)
  const open = new Map<string, number>()
  server.maxConnections = most
  server.on("drop", (dropped) => refused("connections", dropped?.remoteAddress))
  server.prependListener("connection", (socket: Net.Socket) => {
    const address = socket.remoteAddress ?? ""
    const before = open.get(address) ?? 0
    if (before >= ofOne) {
      refused("connections", address)
      return void socket.destroy()
    }
    open.set(address, before + 1)
    socket.once("close", () => {
      const left = open.get(address)! - 1
      if (left === 0) open.delete(address)
      else open.set(address, left)
    })
  })
}
