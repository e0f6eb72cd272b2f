/**
 * The dialler's part of the proof. It speaks only to a listener that has shown the fleet's secret at the address that was
 * meant.
 */
import type { IncomingMessage } from "node:http"
import type { RawData, WebSocket } from "ws"
import { STRANGER } from "../../domain/Limits.js"
import type { Peer } from "../../ports/Peers.js"
import { atMost, freshNonce, type Keys, openingText, textOf, verifyListener } from "../../rpc/PeerProof.js"

export interface Proving {
  readonly keys: Keys
  /** the instance that dials; its incarnation is "" while it has none */
  readonly me: Peer
  /** the address that is dialled */
  readonly to: string
}

const NOT_OF_THE_FLEET =
  "it has not shown the secret of this fleet: WSM_PEER_SECRET must be the same on all instances " +
  "(without it, the data folder or WSM_API_TOKEN), and WSM_ADVERTISE_ADDRESS must lead to nobody else"

/** To be called before the socket opens. Ends with `proved`, or with `failed` and a closed socket. */
export const prove = (
  ws: WebSocket,
  { keys, me, to }: Proving,
  proved: () => void,
  failed: (why: string) => void
): void => {
  const opening = { nonce: freshNonce(), peer: me, to }
  let challenge: string | undefined
  let unbounded = () => {}
  const settled = () => {
    unbounded()
    clearTimeout(over)
    ws.off("message", heard)
    ws.off("close", closed)
  }
  const fail = (why: string) => {
    settled()
    failed(why)
    ws.terminate()
  }
  const heard = (data: RawData, binary: boolean) => {
    const text = textOf(data, binary)
    if (challenge === undefined) {
      challenge = text
      const opened = openingText(keys, opening, challenge)
      return opened === undefined ? fail("it speaks otherwise than an instance of this version") : ws.send(opened)
    }
    if (!verifyListener(keys, opening, challenge, text)) return fail(NOT_OF_THE_FLEET)
    settled()
    proved()
  }
  const closed = (code: number, reason: Buffer) => {
    const why = code === 1008 ? `it turned this instance away: ${reason.toString()}` : `it closed with ${code}`
    fail(why)
  }
  const over = setTimeout(() => fail("it does not speak as an instance of this version"), STRANGER.PEER_PROOF_MS)
  // counted once the WebSocket reads: an earlier reader would take what came with the upgrade
  ws.on("upgrade", ({ socket }: IncomingMessage) =>
    ws.once("open", () => (unbounded = atMost(socket, STRANGER.PEER_PROOF_BYTES)))
  )
  ws.on("message", heard)
  ws.on("close", closed)
}
