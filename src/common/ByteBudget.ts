/**
 * Bytes that one party may make this instance keep, taken before they are kept. Budgets nest: a connection or a client
 * takes from its own budget and from the instance's above it, or from neither.
 */
export class ByteBudget {
  private taken = 0

  constructor(
    readonly maxBytes: number,
    private readonly above?: ByteBudget
  ) {}

  /** Bytes that are kept now. */
  get used(): number {
    return this.taken
  }

  /** Takes so many bytes, here and above; false, and nothing is taken, where one of them has no room. */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.maxBytes) return false
    if (this.above !== undefined && !this.above.take(bytes)) return false
    this.taken += bytes
    return true
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    this.taken -= bytes
    this.above?.give(bytes)
  }
}
