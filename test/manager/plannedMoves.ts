/** Moves of connections within a fleet of managers, and what a consumer and the instances tell of them. */
import * as Duration from "effect/Duration"
import type { TestContext } from "vitest"
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { encode } from "../../src/domain/CloudEvent.js"
import type { WatchResponse } from "../../src/domain/Messages.js"
import type { TopicEvent } from "../../src/ports/PubSub.js"
import { type Node, startFleet } from "./managerFleet.js"

/** What a consumer that keeps the rule has taken of a topic by now: the text of each frame, by connection, in order. */
export const consumer = (events: ReadonlyArray<TopicEvent>): (() => ReadonlyMap<string, ReadonlyArray<string>>) => {
  const inOrder = acceptInOrder()
  const taken = new Map<string, Array<string>>()
  let at = 0
  return () => {
    for (; at < events.length; at++) {
      for (const { connectionId, data } of inOrder.accept(JSON.parse(encode(events[at]!)) as object).frames) {
        const frames = taken.get(connectionId) ?? []
        taken.set(connectionId, frames)
        frames.push(String(data))
      }
    }
    return taken
  }
}

/** Each may give to each other: it has read of them all, and not only heard. */
export const allLive = async (nodes: ReadonlyArray<Node>): Promise<void> => {
  for (const { manager, service } of nodes) {
    for (const deadline = Date.now() + 8000; Date.now() < deadline;) {
      const { connections } = await manager.run(service.rebalance({ dryRun: true }))
      if (Object.keys(connections).length === nodes.length) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** Three that may give to each other, and lose patience with each other soon. */
export const three = async (test: TestContext) => {
  const periods = { heartbeatTtl: Duration.seconds(6) }
  const fleet = await startFleet(test, ["a", "b", "c"], periods, { deadlineMs: 500, handoverMs: 1500 })
  const [a, b, c] = fleet.nodes as [Node, Node, Node]
  await allLive(fleet.nodes)
  return { fleet, a, b, c, server: fleet.server }
}

/** What a node itself told of a connection, in order. */
export const told = ({ manager, name }: Node, id: string): ReadonlyArray<WatchResponse> =>
  manager.events.filter((event) => event.connectionId === id && event.instanceId === name)

export const toldTypes = (node: Node, id: string): ReadonlyArray<string> => told(node, id).map(({ type }) => type)
