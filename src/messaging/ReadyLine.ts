/** The sources of a topic that have something to send, in the order of their turns. */
import { READY, type Source } from "./Source.js"

export class ReadyLine {
  private first: Source | undefined
  private last: Source | undefined
  length = 0

  push(source: Source): void {
    source.state = READY
    source.next = undefined
    if (this.last === undefined) this.first = source
    else this.last.next = source
    this.last = source
    this.length++
  }

  /** Only where `length` is above 0. */
  shift(): Source {
    const source = this.first!
    this.first = source.next
    if (this.first === undefined) this.last = undefined
    source.next = undefined
    this.length--
    return source
  }

  /** Whether they fill a request; each brings one entry, unless a request is ordered inside. */
  fills(entriesOfRequest: number, ordered: boolean): boolean {
    let entries = 0
    for (let source = this.first; source !== undefined; source = source.next) {
      entries += ordered ? source.entries() : 1
      if (entries >= entriesOfRequest) return true
    }
    return false
  }
}
