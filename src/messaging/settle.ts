/** What an answer means for the sources whose entries were in the request. */
import type { PublishFailure } from "../ports/PubSub.js"
import { retryDelay } from "./Retry.js"
import { type Batch, RESTING, type Source } from "./Source.js"

/**
 * Tells each source what became of its entries, and then `settled` how long it waits before it goes on: 0 is not at all.
 * `failures` are the entries that failed; undefined: nothing is known of any. `published` counts what the broker ever took.
 */
export const settle = (
  batch: Batch,
  failures: ReadonlyArray<PublishFailure> | undefined,
  now: number,
  published: number,
  settled: (source: Source, waitMillis: number) => void
): void => {
  const { counts, events, sources } = batch
  const allTaken = failures?.length === 0
  const transients =
    failures === undefined || allTaken ? undefined : new Map(failures.map((f) => [f.index, f.transient]))
  const isTransient = (index: number) => (transients === undefined ? true : transients.get(index))
  // The same for all: what failed together is repeated together.
  const random = allTaken ? 0 : Math.random()
  let from = 0
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!
    const to = from + counts[i]!
    let inARow = 0
    if (allTaken) {
      source.published(events, from, to)
      source.succeeded()
    } else inARow = source.failed(events, from, to, isTransient, now, published)
    from = to
    source.state = RESTING
    settled(source, inARow === 0 ? 0 : retryDelay(inARow, random))
  }
}
