/** What holds over all doors together. */
import { beforeAll, describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../../src/domain/Spec.js"
import { type Door, DOORS, openDoors, refused, type TestServer, until } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"
import { bytes, connect, get } from "../doorConnections.js"
import { type DoorContext, NOBODY } from "./doorContext.js"

export const allDoors = (context: () => Omit<DoorContext, "door">) =>
  describe("over all doors together", () => {
    let server: TestServer
    let peers: ScriptedServer
    beforeAll(() => {
      ;({ peers, server } = context())
    })

    it("the same requestId is the same connection, whatever absent fields look like on the wire", async () => {
      const forms: ReadonlyArray<Partial<ConnectRequest>> = [
        {},
        { autoReconnect: false, awaitOpen: true, tags: { a: "b" }, topic: "t" },
        { keepAlive: { pingIntervalMs: 15_000 }, reconnect: { baseDelayMs: 500 }, buffer: {}, publishing: {} },
        { keepAlive: { pingMessage: bytes("p"), pingBinary: new Uint8Array() }, correlation: { requestPath: "$.a" } },
        { handshake: [{ sendText: bytes("a") }, { sendBinary: new Uint8Array() }], subprotocols: [], headers: {} },
        { reconnect: { factor: 0, giveUpCodes: [], retryCodes: [4000] }, maxMessageBytes: 0, compression: false },
        { buffer: { overflow: "OVERFLOW_PAUSE" }, onLeaseLoss: "LEASE_LOSS_UNSPECIFIED", correlation: {} }
      ]
      for (const [i, form] of forms.entries()) {
        const request = { url: `${peers.url}/idempotent`, requestId: `idempotent-${i}`, ...form }
        const before = peers.openings.length
        const answers = await Promise.all(DOORS.map((name) => server.doors[name].call("Connect", request)))
        const again = await Promise.all(DOORS.map((name) => server.doors[name].call("Connect", request)))
        expect(new Set([...answers, ...again].map(({ id }) => id)).size, `form ${i}`).toBe(1)
        expect(answers[0]!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/)
        expect(peers.openings).toHaveLength(before + 1)
        for (const name of DOORS) {
          const error = await refused(server.doors[name].call("Connect", { ...request, maxMessageBytes: 5 }))
          expect(error).toMatchObject({ tag: "InvalidRequest", fields: { field: "requestId" } })
        }
        await server.doors.grpc.call("Disconnect", { id: answers[0]!.id })
      }
    })

    it("what one door does shows at the others", async () => {
      const { id } = await connect(server.doors.grpc, peers, "/shared")
      await server.doors["rpc-ws"].call("SetTag", { id, key: "from", value: "rpc-ws" })
      const seen = await Promise.all(DOORS.map((name) => get(server.doors[name], id)))
      expect(seen[0]!.tags).toEqual({ from: "rpc-ws" })
      expect(seen[1]).toEqual(seen[0])
      expect(seen[2]).toEqual(seen[0])
    })

    it("a thousand streams are open at most, over all of them; one that ends makes room", async () => {
      const [ws, grpc] = [server.doors["rpc-ws"], server.doors.grpc]
      const open = (door: Door, count: number) =>
        Promise.all(Array.from({ length: count }, () => door.stream("Watch", { ids: [NOBODY] })))
      // one connection of gRPC has 250 streams at most, and one client three quarters of all
      const more = Array.from({ length: 3 }, () => openDoors(server).grpc)
      const readers = (await Promise.all([open(ws, 100), ...[grpc, ...more].map((door) => open(door, 225))])).flat()
      for (const door of [ws, grpc]) {
        expect(await refused(door.stream("Watch", {}))).toMatchObject({
          tag: "QuotaExceeded",
          fields: { quota: "streams" }
        })
      }
      await readers.pop()!.cancel()
      await until(async () => {
        try {
          readers.push(await ws.stream("Watch", {}))
          return true
        } catch {
          return false
        }
      }, "there is room again")
      await Promise.all(readers.map((reader) => reader.cancel()))
      await Promise.all(more.map((door) => door.close()))
    })

    it("one client has three quarters of the streams at most, and others still have theirs", async () => {
      const [ws, grpc] = [server.doors["rpc-ws"], server.doors.grpc]
      const open = (door: Door, count: number) =>
        Promise.all(Array.from({ length: count }, () => door.stream("Watch", { ids: [NOBODY] })))
      const readers = await open(ws, 750)
      expect(await refused(ws.stream("Watch", {}))).toMatchObject({
        tag: "QuotaExceeded",
        fields: { quota: "streams of one client" }
      })
      readers.push(...(await open(grpc, 200)))
      await Promise.all(readers.map((reader) => reader.cancel()))
    })
  })
