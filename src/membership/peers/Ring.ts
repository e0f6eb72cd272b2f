/** Which peers an instance keeps a link to: all while they are few, else the next on the hash ring; pure. */

/** Up to so many peers each has a link to all. */
export const ALL_UP_TO = 8
/** Beyond, to so many that follow it on the ring. */
export const NEXT = 3

/** FNV-1a with a last mixing, so that ids that differ in one letter lie far apart. */
const place = (id: string): number => {
  let hash = 2166136261
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) >>> 0
}

export const neighbours = (self: string, others: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (others.length <= ALL_UP_TO) return others
  const mine = place(self)
  const distance = (id: string) => (place(id) - mine + 2 ** 32) % 2 ** 32
  return others
    .map((id) => ({ id, distance: distance(id) }))
    .sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1))
    .slice(0, NEXT)
    .map(({ id }) => id)
}
