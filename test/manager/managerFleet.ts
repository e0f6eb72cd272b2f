/** Several managers of one process over one store and one bus in memory, with a server of real sockets to connect to. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { TestContext } from "vitest"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { Connection } from "../../src/domain/Messages.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { Lease } from "../../src/membership/lease/Lease.js"
import { Membership } from "../../src/membership/Membership.js"
import { PubSub } from "../../src/ports/PubSub.js"
import * as FaultyState from "../support/FaultyStateStore.js"
import { PeerNetwork, type PeerNetworkOptions } from "../support/PeerNetwork.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

export interface Node {
  readonly name: string
  readonly address: string
  readonly manager: TestManager
  readonly service: TestManager["service"]
  readonly faults: FaultyState.FaultyStateStore
}

export interface TestFleet {
  readonly backend: MemoryBackend
  readonly network: PeerNetwork
  readonly server: ScriptedServer
  readonly nodes: ReadonlyArray<Node>
  /** Starts one more; done when it knows the others and they know it. */
  readonly join: (name: string) => Promise<Node>
  /** As a SIGKILL looks to the others: its host refuses, its links break, and it writes nothing more. */
  readonly crash: (node: Node) => void
  readonly connect: (node: Node, request?: Partial<ConnectRequest>) => Promise<Connection>
}

const PERIODS = { heartbeatInterval: Duration.millis(500), heartbeatTtl: Duration.seconds(10) }

export const startFleet = async (
  { onTestFinished }: TestContext,
  names: ReadonlyArray<string>,
  settings: Partial<SettingsShape> = {},
  options: PeerNetworkOptions & { readonly bus?: PubSub["Type"] } = {}
): Promise<TestFleet> => {
  const backend = new MemoryBackend()
  const network = new PeerNetwork(options)
  const bus = Layer.succeed(PubSub, options.bus ?? MemoryPubSub.make())
  const scope = Effect.runSync(Scope.make())
  const server = await ScriptedServer.start()
  const nodes: Array<Node> = []

  const start = async (name: string): Promise<Node> => {
    const address = `http://${name}:5001`
    const faults = await Effect.runPromise(Scope.extend(FaultyState.make(backend), scope))
    const manager = await TestManager.start({
      network,
      stateStore: faults.layer,
      pubSub: bus,
      settings: {
        ...PERIODS,
        drainTimeout: Duration.seconds(2),
        instanceId: name,
        advertiseAddress: address,
        ...settings
      }
    })
    return { name, address, manager, service: manager.service, faults }
  }
  /** Whoever is a member is asked when somebody lists. */
  const knowsAll = async ({ address, manager }: Node): Promise<boolean> => {
    if (!(await manager.run(Effect.map(Lease, (lease) => lease.valid())))) return false
    // who only said hello takes no work yet
    const live = Effect.map(Membership, (membership) => membership.live().length) as unknown as Effect.Effect<number>
    if ((await manager.run(live)) < nodes.length) return false
    const before = network.sent.length
    await manager.run(manager.service.list({}))
    const asked = network.sent.slice(before).filter(({ from, what }) => from === address && what === "List")
    return asked.length === nodes.length - 1
  }
  const acquainted = async () => {
    for (const node of nodes) {
      for (const deadline = Date.now() + 8000; !(await knowsAll(node));) {
        if (Date.now() > deadline) throw new Error(`${node.name} does not know the others`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
  onTestFinished(async () => {
    network.heal()
    for (const { faults } of nodes) faults.heal()
    await Promise.all(nodes.map(({ manager }) => manager.stop()))
    await server.stop()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })
  nodes.push(...(await Promise.all(names.map(start))))
  await acquainted()
  return {
    backend,
    network,
    server,
    nodes,
    join: async (name) => {
      const node = await start(name)
      nodes.push(node)
      await acquainted()
      return node
    },
    crash: ({ address, faults }) => {
      faults.blackhole = true
      network.crash(address)
    },
    connect: async ({ manager }, request = {}) => {
      const { connection } = await manager.run(
        manager.service.connect({ url: server.url, reconnect: { baseDelayMs: 20, maxDelayMs: 40 }, ...request })
      )
      return connection
    }
  }
}
