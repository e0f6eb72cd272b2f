/**
 * The peers' WebSocket, open for as long as its port is. No token opens it: a peer proves that it has the fleet's secret, and
 * sends no token of its own.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PermissionDenied } from "../../domain/Errors.js"
import { PEER_SUBPROTOCOL } from "../../rpc/PeerProof.js"
import { PEERS_PATH } from "../../rpc/PeerRpcs.js"
import { PeerDoor } from "../rpc/PeerDoor.js"
import { PeerListener, refuseUpgrade, webSocketServer } from "./HttpListener.js"
import * as Problem from "./Problem.js"

const FROM_A_PAGE = Problem.fromError(
  new PermissionDenied({ reason: "instances have no Origin header, web pages have" })
)
const ANOTHER_VERSION = Problem.fromStatus(
  426,
  "Upgrade Required",
  `instances of this version speak the subprotocol ${PEER_SUBPROTOCOL}; callers are served at /rpc/ws`
)

const speaks = (offered: string | undefined): boolean =>
  (offered ?? "").split(",").some((name) => name.trim() === PEER_SUBPROTOCOL)

export const layer: Layer.Layer<never, never, PeerListener | PeerDoor> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const listener = yield* PeerListener
    const door = yield* PeerDoor
    const sockets = webSocketServer({ handleProtocols: () => PEER_SUBPROTOCOL })
    yield* listener.upgrade(PEERS_PATH, (request, socket, head) => {
      if (request.headers.origin !== undefined) return refuseUpgrade(socket, FROM_A_PAGE)
      if (!speaks(request.headers["sec-websocket-protocol"])) return refuseUpgrade(socket, ANOTHER_VERSION)
      sockets.handleUpgrade(request, socket, head, (ws) => door.admit(ws, socket))
    })
  })
)
