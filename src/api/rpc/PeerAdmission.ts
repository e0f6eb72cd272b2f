/**
 * Lets peers in at the door. A socket that has not proved itself is asked and told nothing but the challenge. It may send little,
 * stays shortly, and makes room when many such sockets are open.
 */
import type { Duplex } from "node:stream"
import type { RawData, WebSocket } from "ws"
import { STRANGER } from "../../domain/Limits.js"
import type { Peer } from "../../ports/Peers.js"
import { atMost, challengeText, freshNonce, type Keys, textOf, verifyDialler } from "../../rpc/PeerProof.js"

export interface Admission {
  readonly keys: Keys
  /** the instance that is dialled; its incarnation is "" while there is none */
  readonly self: () => Peer
  readonly admitted: (ws: WebSocket, peer: Peer) => void
  /** Told why a socket was turned away; any socket may be, a peer's too. */
  readonly refused: (why: string) => void
}

/** Takes upgraded sockets; answers with how many are not admitted yet. */
export const make = ({ admitted, keys, refused, self }: Admission) => {
  const waiting = new Set<WebSocket>()
  return (ws: WebSocket, socket: Duplex): void => {
    const challenge = freshNonce()
    const unbounded = atMost(socket, STRANGER.PEER_PROOF_BYTES)
    const over = setTimeout(() => ws.terminate(), STRANGER.PEER_PROOF_MS)
    over.unref()
    const settled = () => {
      clearTimeout(over)
      unbounded()
      waiting.delete(ws)
      ws.off("message", verify)
      ws.off("error", cut)
      ws.off("close", settled)
    }
    const cut = () => ws.terminate()
    const verify = (data: RawData, binary: boolean) => {
      const verified = verifyDialler(keys, self(), challenge, textOf(data, binary))
      if ("refused" in verified) {
        ws.close(1008, verified.refused)
        // a dialler that does not close is cut by the timer, and is not listened to any more
        ws.off("message", verify)
        return refused(verified.refused)
      }
      settled()
      ws.send(verified.answer)
      admitted(ws, verified.peer)
    }
    ws.on("message", verify)
    ws.on("error", cut)
    ws.on("close", settled)
    waiting.add(ws)
    // a peer proves itself in a moment: the socket that has been there longest is no peer's
    for (const longest of waiting) {
      if (waiting.size <= STRANGER.PEERS_UNPROVEN) break
      // the next sockets come before the end of this one is told
      waiting.delete(longest)
      longest.terminate()
    }
    ws.send(challengeText(challenge))
  }
}
