/** Several whole servers over one data directory, found by each other through their real doors. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { type Door, type DoorName, DOORS, startServer, type TestServer, until } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

export interface Fleet {
  readonly servers: ReadonlyArray<TestServer>
  readonly stop: () => Promise<void>
}

/** Servers that know each other, and may dial: who has just joined has no dial budget. */
export const startFleet = async (
  names: ReadonlyArray<string>,
  settings: Partial<SettingsShape> = {},
  around: (instanceId: string) => Layer.Layer<never> = () => Layer.empty
): Promise<Fleet> => {
  const scope = Effect.runSync(Scope.make())
  const directory = Effect.runSync(Scope.extend(temporaryDirectory, scope))
  const feed = await ScriptedServer.start()
  const servers = await Promise.all(
    names.map((instanceId) =>
      startServer(
        {
          dataDir: directory,
          instanceId,
          heartbeatInterval: Duration.millis(500),
          heartbeatTtl: Duration.seconds(5),
          drainTimeout: Duration.seconds(3),
          ...settings
        },
        around(instanceId)
      )
    )
  )
  for (const server of servers) {
    const door = server.doors["rpc-ws"]
    await until(async () => {
      const { instances } = await door.call("ListInstances", {})
      return instances.filter(({ status }) => status === "INSTANCE_STATUS_ALIVE").length === names.length
    }, "the instances see each other")
    const { id } = await door.call("Connect", { url: feed.url })
    for (const other of servers) await other.doors["rpc-ws"].call("Get", { id })
    await door.call("Disconnect", { id })
  }
  await feed.stop()
  return {
    servers,
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()))
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }
}

/** Connects at one instance, and does everything else at another; a bus is read where its frames are published. */
const crossed = (owner: Door, other: Door): Door => ({
  name: owner.name,
  call: (method, request, options) => (method === "Connect" ? owner : other).call(method, request, options),
  stream: (method, request) => (method === "Subscribe" ? owner : other).stream(method, request),
  close: async () => {
    await Promise.all([owner.close(), other.close()])
  }
})

/** A fleet behind the face of one server whose every call about a connection arrives at the wrong instance. */
export const startCrossed = async (settings: Partial<SettingsShape> = {}): Promise<TestServer> => {
  const fleet = await startFleet(["right", "wrong"], settings)
  const [right, wrong] = fleet.servers as [TestServer, TestServer]
  const doors = Object.fromEntries(DOORS.map((name) => [name, crossed(right.doors[name], wrong.doors[name])]))
  return { ...right, doors: doors as Readonly<Record<DoorName, Door>>, stop: fleet.stop }
}
