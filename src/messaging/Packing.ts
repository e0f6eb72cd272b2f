/** How many frames of a connection share one event. */
import { packedSizeBound } from "../domain/CloudEvent.js"
import type { Frame } from "../domain/Frame.js"
import type { Backlog } from "./Backlog.js"

/** What an event holds beside its frames, encoded; generous. */
const EVENT_BYTES = 64 * 1024

/**
 * Takes the frames of the next pack: at least one, in order, of one origin, at most so many and so many bytes of data, and no
 * more than surely fits into one event as encoded. A frame over `maxBytes` is alone.
 */
export const formPack = (
  queue: Backlog<Frame>,
  maxFrames: number,
  maxBytes: number,
  maxEventBytes: number
): ReadonlyArray<Frame> => {
  const first = queue.shift()
  const frames = [first]
  let bytes = first.data.length
  let encoded = EVENT_BYTES + packedSizeBound(first)
  for (let frame = queue.first; frame !== undefined && frames.length < maxFrames; frame = queue.first) {
    bytes += frame.data.length
    encoded += packedSizeBound(frame)
    if (frame.origin !== first.origin || bytes > maxBytes || encoded > maxEventBytes) break
    frames.push(queue.shift())
  }
  return frames
}
