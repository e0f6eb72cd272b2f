/** What a caller is told of a message whose socket ends before all of it is out, and what the connection counts. */
import type { Socket } from "node:net"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { TestManager } from "../support/TestManager.js"

let manager: TestManager
let server: ScriptedServer

beforeEach(async () => {
  server = await ScriptedServer.start()
  manager = await TestManager.start()
})
afterEach(async () => {
  await manager.stop()
  await server.stop()
})

const LARGE = Buffer.alloc(15_900_000, "x")

const ENDS: Readonly<Record<string, (id: string) => void>> = {
  Reconnect: (id) => void manager.run(manager.service.reconnect(id)).catch(() => undefined),
  Disconnect: (id) => void manager.run(manager.service.disconnect({ id })).catch(() => undefined),
  "a close by the peer": () => server.peers[0]!.closeRaw(1012),
  "a reset by the peer": () => (server.peers[0]!.socket as Socket).resetAndDestroy(),
  "a peer that is dead": () => undefined
}

describe.each(Object.keys(ENDS))("a message that is half out at %s", (name) => {
  it("was not sent, and is not counted", async () => {
    const keepAlive = name === "a peer that is dead" ? { deadAfterMs: 700 } : {}
    const { id } = await manager.run(manager.service.connect({ url: server.url, keepAlive }))
    server.last.stopReading()
    const raw = manager.refused(manager.service.sendRaw({ id, message: LARGE }))
    await manager.until(() => server.last.socket.readableLength > 0 || server.last.ws.isPaused)
    const send = manager.refused(
      manager.service.send({ id, message: LARGE, correlation: { mode: "CORRELATION_MODE_NEXT" } })
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
    ENDS[name]!(id)
    expect((await raw)._tag).toBe("ConnectionNotOpen")
    expect(await send).toMatchObject({ _tag: "SendAborted", sent: "no" })
    if (name === "Disconnect") return
    const { framesSent } = await manager.run(manager.service.get(id))
    expect(framesSent).toBe(0)
  }, 30_000)
})
