/** Who comes to the peers' door and proves nothing makes room for those who do, however many come at once. */
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import { expect, it, onTestFinished } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import * as PeerAdmission from "../../src/api/rpc/PeerAdmission.js"
import { STRANGER } from "../../src/domain/Limits.js"
import { freshNonce, keyOf, openingText } from "../../src/rpc/PeerProof.js"

it("a crowd that proves nothing is cut down to the limit at once, and a peer among them gets in", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 })
  const clients: Array<WebSocket> = []
  onTestFinished(() => {
    for (const one of clients) one.terminate()
    server.close()
  })
  await once(server, "listening")
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const keys = [keyOf("a secret of this fleet")]
  let admitted = 0
  const admit = PeerAdmission.make({
    keys,
    self: () => ({ id: "here", incarnation: "", address }),
    admitted: () => void admitted++,
    refused: () => {}
  })
  // all at once: the end of a socket is told later than the next ones come
  const arrived: Array<Parameters<typeof admit>> = []
  server.on("connection", (ws, request) => arrived.push([ws, request.socket]))
  const dial = (): WebSocket => {
    const ws = new WebSocket(address.replace("http", "ws")).on("error", () => {})
    clients.push(ws)
    return ws
  }
  const many = 4 * STRANGER.PEERS_UNPROVEN
  for (let i = 0; i < many; i++) dial()
  while (arrived.length < many) await delay(5)
  server.removeAllListeners("connection")
  server.on("connection", (ws, request) => admit(ws, request.socket))
  for (const one of arrived) admit(...one)
  const began = performance.now()
  const peer = dial()
  const [challenge] = (await once(peer, "message")) as [Buffer]
  const self = { id: "there", incarnation: "", address: "http://127.0.0.1:1" }
  peer.send(openingText(keys, { nonce: freshNonce(), peer: self, to: address }, challenge.toString())!)
  await once(peer, "message")
  expect(admitted).toBe(1)
  // long before they are cut for their silence
  while (server.clients.size > STRANGER.PEERS_UNPROVEN + 1 && performance.now() - began < STRANGER.PEER_PROOF_MS / 2)
    await delay(5)
  expect(server.clients.size).toBeLessThanOrEqual(STRANGER.PEERS_UNPROVEN + 1)
})
