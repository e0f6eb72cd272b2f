import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryPubSub from "../../src/adapters/embedded/MemoryPubSub.js"
import { Settings } from "../../src/config/Settings.js"
import { Events } from "../../src/manager/Events.js"
import { InstanceId } from "../../src/membership/InstanceId.js"
import * as Publisher from "../../src/messaging/Publisher.js"
import * as Logging from "../../src/observability/Logging.js"
import { Metrics } from "../../src/observability/Metrics.js"

it.effect("the log tells what an error event is about", () => {
  const lines: Array<string> = []
  const log = Logging.layer(
    { logFormat: "json", logLevel: "info" },
    { colour: false, write: (text) => void lines.push(text) }
  )
  const events = Events.layer.pipe(
    Layer.provide(Publisher.layer),
    Layer.provide(
      Layer.mergeAll(
        MemoryPubSub.layer,
        Metrics.layer,
        Settings.layer(),
        Layer.succeed(InstanceId, { id: "i", address: "" })
      )
    ),
    Layer.provideMerge(log)
  )
  return Effect.gen(function* () {
    const { emit } = yield* Events
    emit("error", undefined, { error: "DialFailed", message: "connection refused" })
    yield* Effect.yieldNow()
    expect(JSON.parse(lines[0]!)).toMatchObject({
      message: "error",
      error: "DialFailed",
      detail: "connection refused"
    })
    // an attribute is the contract's to name: the id of another instance stands in the log alone
    emit("instance-dead", undefined, { address: "http://b:5001", incarnation: "of-b", instance: "b" })
    expect(JSON.parse(lines[1]!)).toMatchObject({ message: "instance-dead", instance: "b", incarnation: "of-b" })
  }).pipe(Effect.provide(events))
})
