/** Every operation of the contract over every door, against a whole manager and real sockets: the parts lie in `doors`. */
import { afterAll, afterEach, beforeAll, describe } from "vitest"
import { DOORS, type TestServer } from "../support/Doors.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { disconnectAll, startPeer } from "./doorConnections.js"
import { abandonedCalls } from "./doors/abandonedCalls.js"
import { allDoors } from "./doors/allDoors.js"
import { connectionLife } from "./doors/connectionLife.js"
import type { DoorContext, Part } from "./doors/doorContext.js"
import { failedDials } from "./doors/failedDials.js"
import { fleetOfOne } from "./doors/fleetOfOne.js"
import { messages, publishing } from "./doors/sendingAndPublishing.js"
import { noStreams, streams } from "./doors/streaming.js"
import { tagsAndLists } from "./doors/taggingAndListing.js"

export interface Arrangement {
  /** egress policy: 127.66.0.0/16 is denied */
  readonly start: () => Promise<TestServer>
  /** one instance; else several, and calls arrive at one that does not own what they are about */
  readonly alone: boolean
}

const PARTS: ReadonlyArray<Part> = [connectionLife, failedDials, abandonedCalls, messages, publishing, tagsAndLists]

export const doorSuite = ({ alone, start }: Arrangement): void => {
  let server: TestServer
  let peers: ScriptedServer
  const others: Array<ScriptedServer> = []
  const peerLike = async (...args: Parameters<typeof ScriptedServer.start>): Promise<ScriptedServer> => {
    const other = await ScriptedServer.start(...args)
    others.push(other)
    return other
  }

  beforeAll(async () => {
    ;[server, peers] = await Promise.all([start(), startPeer()])
  })
  afterEach(async () => {
    await disconnectAll(server.doors.grpc)
    await Promise.all(others.splice(0).map((other) => other.stop()))
  })
  afterAll(async () => {
    await server.stop()
    await peers.stop()
  })

  describe.each(DOORS)("over %s", (name) => {
    const context = (): DoorContext => ({ server, peers, door: server.doors[name], peerLike })
    for (const part of PARTS) part(name, context)
    if (alone) fleetOfOne(name, context)
    const last = name === "rpc-http" ? noStreams : streams
    last(name, context)
  })

  allDoors(() => ({ server, peers, peerLike }))
}
