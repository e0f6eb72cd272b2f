/**
 * Sockets that come to a door, counted before a byte of them is read: so many in all, and so many of one address. One door has
 * at most a quarter of the files that the process may open, so that what is dialled and kept has the larger part.
 */
import type * as Net from "node:net"
import { STRANGER } from "../../domain/Limits.js"
import { maxFiles } from "../../observability/ProcessMetrics.js"

const FILES_SHARE = 4

export type Refused = (reason: string, address: string | undefined) => void

/** How many sockets a door may have. */
export const mostOf = (files: number | undefined = maxFiles()): number =>
  Math.min(STRANGER.CONNECTIONS, Math.max(1, Math.floor((files ?? Infinity) / FILES_SHARE)))

export const guard = (server: Net.Server, refused: Refused, most: number = mostOf()): void => {
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
