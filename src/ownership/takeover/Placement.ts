/** Which instance takes over a connection first: rendezvous hashing over the live instances. Pure, and the same everywhere. */

const FNV_OFFSET = 2166136261
const FNV_PRIME = 16777619

/** 32 bits; FNV-1a, and the finalizer of MurmurHash3, since ids of one fleet differ in their last characters only. */
const hash = (text: string): number => {
  let h = FNV_OFFSET
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), FNV_PRIME)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * The instance with the greatest hash over (connection, instance); undefined where there is none. One that comes takes its
 * share evenly from all, one that goes leaves its share evenly to all, and nothing else moves.
 */
export const place = (connectionId: string, instanceIds: Iterable<string>): string | undefined => {
  let first: string | undefined
  let most = -1
  for (const id of instanceIds) {
    const weight = hash(`${connectionId}/${id}`)
    // equal weights: the smaller id, whatever the order in which they are known
    if (weight > most || (weight === most && first !== undefined && id < first)) {
      first = id
      most = weight
    }
  }
  return first
}
