/**
 * The books of messages that are not yet whole: what `ws` keeps of each socket until the last byte of a message is there.
 *
 * All together they have what the frames that wait leave of WSM_BUFFER_MAX_BYTES. Beyond it a socket that keeps much is not
 * read, but for the one that keeps most. That one is nearest to its end, and its message frees the others. Where no message
 * gets whole for a while, those that keep most are closed (1013) until there is room.
 */
import { ALL, attempt, type Guarded, later } from "../../common/CallbackGuard.js"

/** A socket as it stands in the books. */
export interface Keeping extends Guarded {
  /** as the books have it */
  keeps: number
  /** what it really keeps now */
  measure(): number
  stopReading(): void
  goOnReading(): void
  /** Closes it: it keeps too much. */
  giveUp(): void
}

/** What the connections that share the room know of these books. */
export interface UnfinishedBytes {
  /** all sockets together */
  readonly bytes: () => number
  /** `frames`: bytes of frames that wait to be published, which have their part of the same room */
  readonly shareWith: (frames: () => number) => void
}

/** A socket that keeps less is never held up: a read, and no more than the system gives to each socket anyway. */
const SMALL_BYTES = 64 * 1024
/** Held up sockets go on while less than this part of the room is taken. */
const LOW = 7 / 8
/** How long nothing may get whole while sockets are held up. */
const STALL_MS = 2000
/** How soon a socket is looked at again: what it keeps may have been inflated meanwhile. */
const LOOK_AGAIN_MS = 100

export class Unfinished implements UnfinishedBytes {
  private total = 0
  private readonly large = new Set<Keeping>()
  private readonly waiting = new Set<Keeping>()
  private readonly again = new Set<Keeping>()
  private isWatched = false
  /** no message got whole since the watch began */
  private isStalled = false

  /** bytes of frames that wait to be published */
  private frames: () => number = () => 0

  constructor(private readonly maxBytes: number) {}

  readonly bytes = (): number => this.total

  readonly shareWith = (frames: () => number): void => {
    this.frames = frames
  }

  /** What the frames leave: half at most, since neighbours shall have room for theirs, and an eighth at least. */
  private room(): number {
    const { maxBytes } = this
    return Math.max(maxBytes / 8, Math.min(maxBytes / 2, maxBytes - this.frames()))
  }

  /** A read of this socket was taken in; `inflates`: it may grow by what is being inflated, without another read. */
  read(keeping: Keeping, inflates: boolean): void {
    this.book(keeping, keeping.measure())
    if (!inflates || this.again.has(keeping)) return
    if (this.again.size === 0) later(LOOK_AGAIN_MS, ALL, () => this.lookAgain())
    this.again.add(keeping)
  }

  /** The socket is gone. */
  gone(keeping: Keeping): void {
    this.again.delete(keeping)
    this.waiting.delete(keeping)
    this.book(keeping, 0)
  }

  private book(keeping: Keeping, keeps: number): void {
    const freed = keeping.keeps - keeps
    this.total -= freed
    keeping.keeps = keeps
    if (keeps > SMALL_BYTES) {
      this.large.add(keeping)
      if (this.total > this.room() && !this.waiting.has(keeping) && this.largest() !== keeping) this.holdUp(keeping)
    } else if (freed > 0) {
      this.large.delete(keeping)
    }
    if (freed > SMALL_BYTES) this.isStalled = false
    if (this.waiting.size > 0 && this.total <= this.room() * LOW) this.goOn()
  }

  private holdUp(keeping: Keeping): void {
    this.waiting.add(keeping)
    keeping.stopReading()
    this.watch()
  }

  /** As many as there is room for a read of each, first those that keep least: none shall take more than the others. */
  private goOn(): void {
    const free = this.room() * LOW - this.total
    const many = Math.max(1, Math.floor(free / SMALL_BYTES))
    const least = [...this.waiting].sort((a, b) => a.keeps - b.keeps).slice(0, many)
    for (const keeping of least) {
      this.waiting.delete(keeping)
      attempt(keeping, keeping.goOnReading)
    }
  }

  private watch(): void {
    if (this.isWatched) return
    this.isWatched = true
    this.isStalled = true
    later(STALL_MS, ALL, () => {
      this.isWatched = false
      if (this.waiting.size === 0) return
      if (this.isStalled) this.makeRoom()
      this.watch()
    })
  }

  /** No message got whole: those that keep most go, until half of the room is free. */
  private makeRoom(): void {
    const most = [...this.large].sort((a, b) => b.keeps - a.keeps)
    for (const keeping of most) {
      if (this.total <= this.room() / 2) break
      this.waiting.delete(keeping)
      this.total -= keeping.keeps
      keeping.keeps = 0
      this.large.delete(keeping)
      attempt(keeping, keeping.giveUp)
    }
    this.goOn()
  }

  private largest(): Keeping | undefined {
    let largest: Keeping | undefined
    for (const keeping of this.large) if (largest === undefined || keeping.keeps > largest.keeps) largest = keeping
    return largest
  }

  private lookAgain(): void {
    const all = [...this.again]
    this.again.clear()
    for (const keeping of all) attempt(keeping, () => this.read(keeping, keeping.measure() > 0))
  }
}
