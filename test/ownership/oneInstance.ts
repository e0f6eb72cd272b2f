/** What the tests of one instance's connections share: what it creates, and what stands of it in the store. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { MemoryBackend } from "../../src/adapters/embedded/MemoryState.js"
import { uuidv7 } from "../../src/common/Uuid.js"
import { CONNECTING } from "../../src/domain/ConnectionStatus.js"
import { connectionKey, pageKey } from "../../src/domain/stored/Keys.js"
import type { NewConnection } from "../../src/ownership/operations/Create.js"
import { type Instance, joined, stored } from "../membership/clockedInstances.js"
import { stepping } from "./survivors.js"

export const connection = (over: Partial<NewConnection> = {}): NewConnection => ({
  id: uuidv7(0),
  spec: { url: "wss://example.com/feed" },
  specHash: "hash",
  tags: { a: "b" },
  topic: "topic",
  status: CONNECTING,
  createdAt: 1_000,
  ...over
})

export const FRESH = { keepUnknown: false } as const
export const REPEATABLE = { keepUnknown: true } as const

export const created = (one: Instance, asked = connection(), options: { keepUnknown: boolean } = FRESH) =>
  Effect.flatMap(one.store.create(asked, options), (made) =>
    made._tag === "Created" ? Effect.succeed(made.owned) : Effect.dieMessage(`${asked.id} exists`)
  )

export const claims = (one: Instance) =>
  Effect.map(stepping(Stream.runCollect(one.store.claimOwn)), (all) => Chunk.toReadonlyArray(all))

export const page = (backend: MemoryBackend, n = 0) => stored(backend, pageKey("one", n))
export const record = (backend: MemoryBackend, id: string) => stored(backend, connectionKey(id))

/** The same instance id in a new process, the old one killed. */
export const restarted = (backend: MemoryBackend) => joined(backend, { pid: 2, gone: (pid) => pid === 1 })
