/** First in, first out. An empty one holds next to nothing, so that idle connections cost little. */
export class Fifo<A> {
  private items: Array<A | undefined> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  get first(): A | undefined {
    return this.items[this.head]
  }

  get last(): A | undefined {
    return this.items[this.items.length - 1]
  }

  push(item: A): void {
    this.items.push(item)
  }

  /** Only where `length` is above 0. */
  shift(): A {
    const item = this.items[this.head] as A
    this.items[this.head++] = undefined
    if (this.head === this.items.length) this.clear()
    else if (this.head >= COMPACT_FROM && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return item
  }

  clear(): void {
    this.items = []
    this.head = 0
  }
}

const COMPACT_FROM = 1024
