/** A removal that meets other work on the same id. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { CONNECTING } from "../../src/domain/ConnectionStatus.js"
import { connectionKey } from "../../src/domain/Key.js"
import { uuidv8FromRequest } from "../../src/domain/Uuid.js"
import type { NewConnection } from "../../src/ownership/ConnectionStore.js"
import { type Instance, joined, until } from "../membership/instances.js"

const asked: NewConnection = {
  id: uuidv8FromRequest("k"),
  spec: { url: "wss://example.com/feed" },
  specHash: "hash",
  tags: {},
  topic: "",
  status: CONNECTING,
  createdAt: 1_000
}

const calls = (one: Instance, operation: "get" | "replace") =>
  one.faults.calls.filter((call) => call.operation === operation && call.key === connectionKey(asked.id)).length

it.scoped("a repeated request_id waits for a removal, also for one that began while the id was being claimed", () =>
  Effect.gen(function* () {
    const one = yield* joined(new MemoryBackend())
    const create = one.store.create(asked, { keepUnknown: true })
    const made = yield* create
    if (made._tag !== "Created") return yield* Effect.dieMessage("it exists")
    one.faults.calls.length = 0
    one.faults.slow = Duration.millis(100)
    const claiming = yield* Effect.fork(one.store.claim(asked.id))
    yield* until(() => calls(one, "get") === 1)
    one.faults.slow = Duration.millis(500)
    const removing = yield* Effect.fork(one.store.remove(made.owned))
    yield* until(() => calls(one, "replace") === 1)
    yield* TestClock.adjust("200 millis")
    expect(Option.isNone(yield* Fiber.join(claiming))).toBe(true)

    one.faults.slow = undefined
    const again = yield* Effect.fork(create)
    yield* until(() => removing.unsafePoll() !== null)
    yield* Fiber.join(removing)
    const anew = yield* Fiber.join(again)
    expect(anew._tag).toBe("Created")
    expect(anew._tag === "Created" && anew.owned.epoch > made.owned.epoch).toBe(true)
  })
)
