/** How many frames of a connection share one event. */
import { packedSize, packedSizeBound } from "../domain/CloudEvent.js"
import type { Frame } from "../domain/Frame.js"
import type { Backlog } from "./Backlog.js"

/** What an event holds beside its frames, encoded; generous. */
const EVENT_BYTES = 64 * 1024

/**
 * Takes the frames of the next pack: at least one, in order, of one origin, at most so many and so many bytes of data, and no
 * more than fits into one event as encoded. A frame over `maxBytes` is alone.
 *
 * What the frames are as encoded is bounded from above; where the bound would end the pack, it is counted.
 */
export const formPack = (
  queue: Backlog<Frame>,
  maxFrames: number,
  maxBytes: number,
  maxEventBytes: number
): ReadonlyArray<Frame> => {
  const first = queue.shift()
  const frames = [first]
  const room = maxEventBytes - EVENT_BYTES
  let bytes = first.data.length
  let encoded = packedSizeBound(first)
  let sizeOf = packedSizeBound
  for (let frame = queue.first; frame !== undefined && frames.length < maxFrames; frame = queue.first) {
    bytes += frame.data.length
    if (frame.origin !== first.origin || bytes > maxBytes) break
    encoded += sizeOf(frame)
    if (encoded > room && sizeOf === packedSizeBound) {
      sizeOf = packedSize
      encoded = frames.reduce((sum, taken) => sum + packedSize(taken), packedSize(frame))
    }
    if (encoded > room) break
    frames.push(queue.shift())
  }
  return frames
}
