/** The close code of a leaving that is meant to come back: 1000 ends a session at many a peer. */
import { describe, expect, it } from "vitest"
import * as MemoryState from "../../src/adapters/embedded/MemoryState.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { TestManager } from "../support/TestManager.js"
import { managerAndServer } from "./managerAndServer.js"

const here = managerAndServer()

const connect = async (reconnect: ConnectRequest["reconnect"], more: Partial<ConnectRequest> = {}) =>
  (
    await here.manager.run(
      here.manager.service.connect({ url: here.server.url, reconnect: { baseDelayMs: 10, ...reconnect }, ...more })
    )
  ).id
const closed = async (n: number) => {
  await here.server.until(() => here.server.peers[n]!.closedAt !== undefined, 10_000)
  return here.server.peers[n]!.closeCode
}

describe.each([
  [4900, 4900, 4900],
  [1000, 1000, 1000],
  // a code that says, from a peer, never to come back
  [4004, 4004, 4004],
  [0, 1000, 1001],
  [undefined, 1000, 1001]
])("with leave_code %s", (leaveCode, usual, draining) => {
  const reconnect = leaveCode === undefined ? {} : { leaveCode }

  it(`Reconnect and an idle feed close with ${usual}, and are dialled again`, async () => {
    const id = await connect(reconnect)
    await here.manager.run(here.manager.service.reconnect(id))
    expect(await closed(0)).toBe(usual)
    const idle = await connect(reconnect, { keepAlive: { idleAfterMs: 100 } })
    expect(await closed(2)).toBe(usual)
    await here.manager.event(idle, "connected", 2)
  })

  it(`a drain closes with ${draining}, and Disconnect as it was asked`, async () => {
    const ended = await connect(reconnect)
    await here.manager.run(here.manager.service.disconnect({ id: ended }))
    expect(await closed(0)).toBe(1000)
    await connect(reconnect)
    await here.manager.run(here.manager.service.drain({}))
    expect(await closed(1)).toBe(draining)
  })
})

it("is kept in the record: whoever dials after a restart leaves with it too", async () => {
  const backend = new MemoryState.MemoryBackend()
  const settings = { instanceId: "one" }
  const first = await TestManager.start({ settings, stateStore: MemoryState.layer(backend) })
  const { id } = await first.run(first.service.connect({ url: here.server.url, reconnect: { leaveCode: 4321 } }))
  await first.stop()
  expect(await closed(0)).toBe(4321)
  const second = await TestManager.start({ settings, stateStore: MemoryState.layer(backend) })
  await second.event(id, "connected")
  await second.run(second.service.reconnect(id))
  expect(await closed(1)).toBe(4321)
  await second.stop()
})
