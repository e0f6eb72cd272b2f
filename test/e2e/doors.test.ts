/** Every operation of the contract over every door of one manager, its drain, and what only gRPC has. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DOORS, refused, startServer } from "../support/Doors.js"
import type { ScriptedServer } from "../support/ScriptedServer.js"
import { doorSuite } from "./doorSuite.js"
import { connect, get, startPeer } from "./doorConnections.js"

doorSuite({ start: () => startServer({ egressDeny: ["127.66.0.0/16"] }), alone: true })

let peers: ScriptedServer
beforeAll(async () => {
  peers = await startPeer()
})
afterAll(() => peers.stop())

describe("a manager that is drained", () => {
  it.each(DOORS)("over %s gives everything away, answers on, and takes no new work", async (name) => {
    const drained = await startServer()
    try {
      const door = drained.doors[name]
      const watching = await drained.doors["rpc-ws"].stream("Watch", {})
      const { id, peer } = await connect(door, peers, "/drain")
      expect(await door.call("Drain", { mode: "DRAIN_MODE_MIGRATE_CONNECTIONS", timeoutMs: 2000 })).toEqual({
        migrated: 0,
        closed: 0,
        abandoned: 1
      })
      await peers.until(() => !peer.open)
      expect(peer.closeCode).toBe(1001)
      expect((await refused(door.call("Connect", { url: peers.url }))).tag).toBe("InstanceDraining")
      expect(await get(door, id)).toMatchObject({ id })
      expect((await fetch(`${drained.httpUrl}/health/ready`)).status).toBe(503)
      const types: Array<string> = []
      while (types.at(-1) !== "instance-left") types.push((await watching.next())!.type)
      expect(types).toContain("instance-draining")
    } finally {
      await drained.stop()
    }
  })
})

describe("a deadline of gRPC", () => {
  it("before the dial budget lets a Connect through is QuotaExceeded, at once", async () => {
    const slow = await startServer({ dialRatePerHost: 1 })
    try {
      await connect(slow.doors.grpc, peers, "/")
      await slow.doors.grpc.call("Connect", { url: peers.url, awaitOpen: false })
      const error = await refused(slow.doors.grpc.call("Connect", { url: peers.url }, { deadlineMs: 900 }))
      expect(error).toMatchObject({ tag: "QuotaExceeded" })
    } finally {
      await slow.stop()
    }
  })
})
