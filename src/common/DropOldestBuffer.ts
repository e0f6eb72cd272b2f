/**
 * What a slow reader may hold up: so many items and so many bytes. Beyond, the oldest go and are counted.
 *
 * Plain and synchronous. An offer costs one array slot and never waits; a reader takes everything at once.
 */

export interface Taken<A> {
  readonly items: ReadonlyArray<A>
  /** items dropped since the take before, all of them older than the first of `items` */
  readonly missed: number
}

export class DropOldestBuffer<A> {
  private items: Array<A | undefined> = []
  /** of the item at the same place; kept from one take to the next, so that it need not grow again */
  private readonly sizes: Array<number> = []
  private head = 0
  private tail = 0
  private bytes = 0
  private dropped = 0

  constructor(
    /** Called when the first item comes into an empty buffer. */
    private readonly wake: () => void,
    readonly maxItems: number,
    readonly maxBytes: number
  ) {}

  /** Items waiting. */
  get size(): number {
    return this.tail - this.head
  }

  /** Items dropped since the last take. */
  get missed(): number {
    return this.dropped
  }

  /** Whether so much more goes in without dropping anything. */
  hasRoom(items: number, bytes: number): boolean {
    return this.size === 0 || (this.size + items <= this.maxItems && this.bytes + bytes <= this.maxBytes)
  }

  /** Takes an item that holds `bytes`. The newest item always stays, even if it alone is over the bound. */
  offer(item: A, bytes: number): void {
    this.items[this.tail] = item
    this.sizes[this.tail] = bytes
    this.tail += 1
    this.bytes += bytes
    if (this.tail - this.head === 1) return this.wake()
    while (this.size > 1 && (this.size > this.maxItems || this.bytes > this.maxBytes)) this.dropOldest()
  }

  /** Everything that waits, oldest first, and how many went before it. */
  takeAll(): Taken<A> {
    if (this.head > 0) this.items.splice(0, this.head)
    const taken = { items: this.items as Array<A>, missed: this.dropped }
    this.items = []
    this.head = this.tail = this.bytes = this.dropped = 0
    return taken
  }

  private dropOldest(): void {
    this.items[this.head] = undefined
    this.bytes -= this.sizes[this.head]!
    this.head += 1
    this.dropped += 1
    if (this.head < this.maxItems) return
    // Closing the hole once per `maxItems` drops keeps both arrays short and a drop cheap.
    this.items.splice(0, this.head)
    this.sizes.splice(0, this.head)
    this.tail -= this.head
    this.head = 0
  }
}
