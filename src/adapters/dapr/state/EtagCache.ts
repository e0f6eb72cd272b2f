/**
 * Etags met lately, so that a replace need not read first. A version does not carry its etag, because the answer to a write
 * does not tell it.
 *
 * A hint and no more. A wrong etag costs a repetition where etags are unique. Where they are counters, an etag is believed
 * only for so long as its key cannot have vanished meanwhile.
 */
import { evictOldest } from "../../../common/EvictOldest.js"
import type { Version } from "../../../ports/StateStore.js"

interface Met {
  readonly version: Version
  readonly etag: string
  /** monotonic milliseconds, from before it was asked for */
  readonly at: number
}

interface Sent {
  readonly version: Version
  readonly wanted: number
}

const CAPACITY = 4096

export class EtagCache {
  private readonly met = new Map<string, Met>()
  private readonly sent = new Map<string, Sent>()

  constructor(private readonly believedFor: number) {}

  note(key: string, version: Version, etag: string, at: number): void {
    put(this.met, key, { version, etag, at })
  }

  /** The etag of this version, if it can be believed. */
  of(key: string, version: Version): string | undefined {
    const met = this.met.get(key)
    if (met === undefined || met.version !== version) return undefined
    return performance.now() - met.at < this.believedFor ? met.etag : undefined
  }

  /**
   * Whether this version was noted, however long ago. Where etags are counters, that means that it was written for ever.
   */
  isLasting(key: string, version: Version): boolean {
    return this.met.get(key)?.version === version
  }

  /** This version is about to be written. Where etags are counters, its etag is the wanted one if it lands as it should. */
  sending(key: string, version: Version, wanted: number): void {
    put(this.sent, key, { version, wanted })
  }

  /** The outcome of the last write to this key is known. */
  settled(key: string): void {
    this.sent.delete(key)
  }

  /** Whether a write of this instance, with an unknown outcome, has made a vanished key anew. */
  revived(key: string, version: Version, etag: string): boolean {
    const sent = this.sent.get(key)
    return sent !== undefined && sent.version === version && Number(etag) < sent.wanted
  }
}

/** As the newest of a bounded number. */
const put = <A>(map: Map<string, A>, key: string, value: A): void => {
  map.delete(key)
  evictOldest(map.set(key, value), CAPACITY)
}
