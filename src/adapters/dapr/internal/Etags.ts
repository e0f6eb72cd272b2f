/**
 * Etags met lately, so that a replace need not read first: a version does not carry its etag, because no write tells it.
 *
 * A hint and no more. A wrong one costs a repetition where etags are unique; where they are counters it is believed only
 * for so long as its key cannot have vanished meanwhile.
 */
import type { Version } from "../../../ports/StateStore.js"

interface Met {
  readonly version: Version
  readonly etag: string
  /** monotonic milliseconds, from before it was asked for */
  readonly at: number
}

const CAPACITY = 4096

export class Etags {
  private readonly met = new Map<string, Met>()

  constructor(private readonly believedFor: number) {}

  note(key: string, version: Version, etag: string, at: number): void {
    this.met.delete(key)
    if (this.met.size >= CAPACITY) this.met.delete(this.met.keys().next().value!)
    this.met.set(key, { version, etag, at })
  }

  /** The etag of this version, if it can be believed. */
  of(key: string, version: Version): string | undefined {
    const met = this.met.get(key)
    if (met === undefined || met.version !== version) return undefined
    return performance.now() - met.at < this.believedFor ? met.etag : undefined
  }

  forget(key: string): void {
    this.met.delete(key)
  }
}
