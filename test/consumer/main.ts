import { Chunk, Effect, Stream } from "effect"
import { ConnectionManager, ManagerLayer } from "websocketmanager"
import { stateStore } from "./store.js"

const program = Effect.gen(function* () {
  const manager = yield* ConnectionManager.ConnectionManager
  const { id } = yield* manager.connect({ url: process.argv[2]!, topic: "ticks" })
  const frames = yield* manager.receive(id)
  const three = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(frames, 3)))
  console.log("frames", three.map(({ data }) => Buffer.from(data).toString()).join(" "))
})

const manager = ManagerLayer.layer({ backing: "embedded", stateStore })
Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(manager)))
