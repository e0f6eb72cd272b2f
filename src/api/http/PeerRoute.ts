/** The peers' WebSocket on the HTTP port, behind the same guard as the rest; open for as long as the port is. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../../config/Settings.js"
import { PeerDoor } from "../rpc/PeerDoor.js"
import { PEERS_PATH } from "../rpc/PeerRpcs.js"
import * as Guard from "./Guard.js"
import { HttpListener, refuseUpgrade, webSocketServer } from "./HttpListener.js"

export interface PeerRouteOptions {
  /** The advertised address, a URL: peers dial it. */
  readonly advertised: string
}

export const layer = ({
  advertised
}: PeerRouteOptions): Layer.Layer<never, never, HttpListener | PeerDoor | Settings> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const listener = yield* HttpListener
      const { apiToken } = yield* Settings
      const door = yield* PeerDoor
      const guard = Guard.make({ token: apiToken, advertised })
      const sockets = webSocketServer()
      yield* listener.upgrade(PEERS_PATH, (request, socket, head) => {
        const refusal = guard(request)
        if (refusal !== undefined) return refuseUpgrade(socket, refusal)
        sockets.handleUpgrade(request, socket, head, (ws) => door.accept(ws, request.headers))
      })
    })
  )
