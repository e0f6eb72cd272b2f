/** ListInstances, Migrate and Rebalance where there is one instance. */
import { beforeAll, describe, expect, it } from "vitest"
import { type Door, refused, type TestServer } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { connect } from "../doorConnections.js"
import type { Part } from "./doorContext.js"

export const fleetOfOne: Part = (_name, context) =>
  describe("the fleet of one", () => {
    let server: TestServer
    let peers: ScriptedServer
    let door: Door
    beforeAll(() => {
      ;({ server, peers, door } = context())
    })

    it("ListInstances shows this instance, Migrate has no target, Rebalance moves nothing", async () => {
      const { id } = await connect(door, peers, "/fleet")
      const { instances } = await door.call("ListInstances", {})
      expect(instances).toHaveLength(1)
      const [me] = instances
      expect(me).toMatchObject({ status: "INSTANCE_STATUS_ALIVE", address: server.httpUrl })
      expect(me!.lastSeenAt.getTime()).toBeGreaterThanOrEqual(me!.startedAt.getTime())
      expect(await refused(door.call("Migrate", { id }))).toMatchObject({ tag: "NoTarget", fields: { id } })
      expect(await refused(door.call("Migrate", { id, targetInstanceId: "nobody" }))).toMatchObject({
        tag: "NoTarget",
        fields: { id, target: "nobody" }
      })
      const balance = await door.call("Rebalance", { dryRun: true })
      const { connections } = await door.call("List", { pageSize: 1000 })
      expect(balance).toEqual({ moved: 0, failed: 0, connections: { [me!.id]: connections.length } })
    })
  })
