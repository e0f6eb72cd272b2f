/** What a caller is told of a message whose socket ends before all of it is out, and what the connection counts. */
import type { Socket } from "node:net"
import { describe, expect, it } from "vitest"
import { managerAndServer } from "./managerAndServer.js"

const here = managerAndServer()

const LARGE = Buffer.alloc(15_900_000, "x")

const ENDS: Readonly<Record<string, (id: string) => void>> = {
  Reconnect: (id) => void here.manager.run(here.manager.service.reconnect(id)).catch(() => undefined),
  Disconnect: (id) => void here.manager.run(here.manager.service.disconnect({ id })).catch(() => undefined),
  "a close by the peer": () => here.server.peers[0]!.closeRaw(1012),
  "a reset by the peer": () => (here.server.peers[0]!.socket as Socket).resetAndDestroy(),
  "a peer that is dead": () => undefined
}

describe.each(Object.keys(ENDS))("a message that is half out at %s", (name) => {
  it("was not sent, and is not counted", async () => {
    const keepAlive = name === "a peer that is dead" ? { deadAfterMs: 700 } : {}
    const { id } = await here.manager.run(here.manager.service.connect({ url: here.server.url, keepAlive }))
    here.server.last.stopReading()
    const raw = here.manager.refused(here.manager.service.sendRaw({ id, message: LARGE }))
    await here.manager.until(() => here.server.last.socket.readableLength > 0 || here.server.last.ws.isPaused)
    const send = here.manager.refused(
      here.manager.service.send({ id, message: LARGE, correlation: { mode: "CORRELATION_MODE_NEXT" } })
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
    ENDS[name]!(id)
    expect((await raw)._tag).toBe("ConnectionNotOpen")
    expect(await send).toMatchObject({ _tag: "SendAborted", sent: "no" })
    if (name === "Disconnect") return
    const { framesSent } = await here.manager.run(here.manager.service.get(id))
    expect(framesSent).toBe(0)
  }, 30_000)
})
