/**
 * Ids of requests that gave up after their message went out: a reply that still comes is an ordinary frame. The modes that
 * look at ids need nothing for that; mode NEXT, which takes whatever comes, has to be told.
 */
import { evictOldest } from "../../common/EvictOldest.js"
import { CALLER } from "../../domain/Limits.js"
import type { Group, IncomingFrame } from "./ReplyMatcher.js"

interface Given {
  readonly group: Group
  readonly keys: Set<string>
}

export class LateReplies {
  private readonly given = new Map<string, Given>()

  add(groupKey: string, group: Group, key: string): void {
    let of = this.given.get(groupKey)
    if (of === undefined) {
      this.given.set(groupKey, (of = { group, keys: new Set() }))
      evictOldest(this.given, CALLER.LATE_PATHS)
    }
    of.keys.add(key)
    evictOldest(of.keys, CALLER.LATE_IDS)
  }

  /** Whether the frame is such a reply; it is expected no longer then. */
  take(frame: IncomingFrame): boolean {
    for (const { group, keys } of this.given.values()) {
      const found = group.read(frame)
      if (found !== undefined && keys.delete(found.key)) return true
    }
    return false
  }

  clear(): void {
    this.given.clear()
  }
}
