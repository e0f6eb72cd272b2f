/** Reading many keys (S05): split by count, and in halves where the answer is larger than the sidecar may send. */
import * as Effect from "effect/Effect"
import type { Versioned } from "../../../ports/StateStore.js"
import { CallFailed, RESOURCE_EXHAUSTED } from "../sidecar/GrpcConnection.js"
import { seenOf, type Store } from "./CompareAndSet.js"
import type { Item } from "./StateClient.js"
import { encodeKey } from "./StoredText.js"

/** Keys in one request; sqlite's own limit is somewhere above 5,000. */
const KEYS_AT_ONCE = 500
const REQUESTS_AT_ONCE = 2
/** Keys that a bulk read does not have, asked for one by one. */
const CONFIRMED_AT_ONCE = 16
/** of the deadline of one call, for the whole read; each request has one such deadline for itself */
const DEADLINES = 5

export const bulkRead = (
  { client, deadlineMs, dialect, etags }: Store,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, Versioned>, CallFailed> =>
  Effect.suspend(() => {
    // a repeated key would come back as an entry without one
    const wanted = new Map(keys.map((key) => [encodeKey(key), key]))
    const encoded = [...wanted.keys()]
    const chunks: Array<ReadonlyArray<string>> = []
    for (let i = 0; i < encoded.length; i += KEYS_AT_ONCE) chunks.push(encoded.slice(i, i + KEYS_AT_ONCE))
    const found = new Map<string, Versioned>()
    const until = performance.now() + deadlineMs * DEADLINES

    const keep = (items: ReadonlyMap<string, Item>, at: number): void => {
      for (const [name, { etag, text }] of items) {
        const key = wanted.get(name)
        const { value, version } = seenOf(text, etag)
        if (key === undefined || value === undefined) continue
        if (!dialect.counts) etags.note(name, version, etag, at)
        else if (etags.revived(name, version, etag)) continue
        found.set(key, { value, version })
      }
    }

    /**
     * The rows of a table come one by one. If the server goes away between them, the component reports no error, and gives
     * the rows that it has. In components-contrib 1.18.3, postgresql/v2, BulkGet does not look at the error of the rows. So
     * a key counts as absent only where a read of that key alone finds it absent.
     */
    const confirm = (absent: ReadonlyArray<string>): Effect.Effect<void, CallFailed> =>
      Effect.forEach(
        dialect.counts ? [] : absent,
        (name) =>
          Effect.suspend(() => {
            const at = performance.now()
            const left = Math.max(1, Math.min(deadlineMs, until - at))
            return Effect.map(client.getAlone(name, left), (item) => item && keep(new Map([[name, item]]), at))
          }),
        { concurrency: CONFIRMED_AT_ONCE, discard: true }
      )

    const read = (chunk: ReadonlyArray<string>): Effect.Effect<void, CallFailed> =>
      Effect.suspend(() => {
        const at = performance.now()
        if (at >= until) return new CallFailed({ kind: "broken", code: 4, message: "no time left" })
        return client.getBulk(chunk, Math.min(deadlineMs, until - at)).pipe(
          Effect.tap((items) => Effect.sync(() => keep(items, at))),
          Effect.flatMap((items) => confirm(chunk.filter((name) => !items.has(name)))),
          Effect.catchIf(
            (failure) => failure.code === RESOURCE_EXHAUSTED && chunk.length > 1,
            () => {
              const half = Math.ceil(chunk.length / 2)
              return Effect.zipRight(read(chunk.slice(0, half)), read(chunk.slice(half)))
            }
          )
        )
      })

    return Effect.forEach(chunks, read, { concurrency: REQUESTS_AT_ONCE, discard: true }).pipe(Effect.as(found))
  })
