/** Reads a request body, bounded, each piece taken from a budget before it is kept. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { IncomingMessage } from "node:http"

/** Represents a body over the limit. What came so far is forgotten. */
export class BodyTooLarge extends Data.TaggedError("BodyTooLarge")<{ readonly limit: number }> {}
/** Represents a body for which there is no room beside those of others. What came so far is forgotten. */
export class NoRoom extends Data.TaggedError("NoRoom")<{}> {}
/** Represents a caller that went away in the middle of its body. */
export class BodyCut extends Data.TaggedError("BodyCut")<{}> {}

/** The chunks are put together once, at the end: adding each to the ones before costs seconds for 16 MiB. */
export const read = (
  request: IncomingMessage,
  limit: number,
  take: (bytes: number) => boolean
): Effect.Effect<Uint8Array, BodyTooLarge | BodyCut | NoRoom> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    let bytes = 0
    const onData = (chunk: Buffer) => {
      bytes += chunk.length
      const fits = bytes <= limit
      if (fits && take(chunk.length)) return chunks.push(chunk)
      done()
      request.resume()
      return resume(fits ? new NoRoom() : new BodyTooLarge({ limit }))
    }
    const onEnd = () => {
      done()
      resume(Effect.succeed(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    }
    const onCut = () => {
      done()
      resume(new BodyCut())
    }
    const done = () => request.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut)
    request.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut)
    return Effect.sync(done)
  })
