/** For an instance without doors: it speaks to no other instance, and none can speak to it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Peers, PeerSilent } from "../../ports/Peers.js"

const silent = (address: string) =>
  new PeerSilent({ address, reason: "this instance has no doors and speaks to no peers", sent: false })
const fails = (address: string) => Effect.fail(silent(address))

/** Every call ends at once with PeerSilent, as never sent. */
export const layer: Layer.Layer<Peers> = Layer.succeed(
  Peers,
  Peers.of({
    hello: fails,
    probeLease: fails,
    link: fails,
    offerHandover: fails,
    confirmHandover: fails,
    call: fails,
    send: (to) => Stream.fail(silent(to)),
    open: fails
  })
)
