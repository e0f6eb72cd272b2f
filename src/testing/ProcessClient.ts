/** Real sockets of an instance that may be frozen or killed: what they tell waits with its process, and dies with it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientWrapper } from "../socket/ClientWrapper.js"
import type { Wire, WireHandlers } from "../socket/wire/Wire.js"
import type { SimulatedProcess } from "./SimulatedProcess.js"

export class ProcessClient {
  private readonly wires = new Set<Wire>()

  constructor(private readonly process: SimulatedProcess) {}

  layer<R>(client: Layer.Layer<ClientWrapper, never, R>): Layer.Layer<ClientWrapper, never, R> {
    return Layer.map(client, (context) => {
      const inner = Context.get(context, ClientWrapper)
      return Context.make(ClientWrapper, {
        ...inner,
        dial: (target, route, handlers, mayTry) =>
          Effect.suspend(() => inner.dial(target, route, this.gated(handlers), mayTry))
      })
    })
  }

  /** The kernel closes what a dead process leaves. */
  died(): void {
    for (const wire of this.wires) wire.terminate()
    this.wires.clear()
  }

  private gated(handlers: WireHandlers): WireHandlers {
    const { process } = this
    let open: Wire | undefined
    return {
      onOpen: (wire) => {
        if (process.dead) return wire.terminate()
        open = wire
        this.wires.add(wire)
        process.post(() => handlers.onOpen(wire))
      },
      onFrame: (data, binary) => process.post(() => handlers.onFrame(data, binary)),
      onControl: () => process.post(() => handlers.onControl()),
      onHeldUp: (heldUp) => handlers.onHeldUp(heldUp),
      onTooExpensive: (ms) => handlers.onTooExpensive(ms),
      onEnd: (end) => {
        if (open !== undefined) this.wires.delete(open)
        process.post(() => handlers.onEnd(end))
      }
    }
  }
}
