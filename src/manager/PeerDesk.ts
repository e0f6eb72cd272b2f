/** What this instance answers its peers. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { NotAvailable } from "../domain/Errors.js"
import { PeerDesk } from "../ports/Peers.js"
import { ConnectionManager } from "./ConnectionManager.js"

const refuse = (feature: string) => new NotAvailable({ feature, reason: "this instance takes no forwarded calls" })

export const layer: Layer.Layer<PeerDesk, never, ConnectionManager> = Layer.effect(
  PeerDesk,
  Effect.as(
    ConnectionManager,
    PeerDesk.of({
      hello: () => Effect.succeed({ incarnation: undefined }),
      ask: () => Effect.succeed({ incarnation: undefined, verdict: undefined }),
      take: () => Effect.succeed(false),
      moved: () => Effect.succeed(false),
      call: (method) => refuse(method),
      send: () => Stream.fail(refuse("Send")),
      open: (method) => refuse(method)
    })
  )
)
