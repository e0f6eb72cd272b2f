/**
 * The ids whose removal was requested: each must end as a tombstone, also when a later incarnation of this instance finds its
 * record alive. An incarnation's end takes none of them away.
 */
export class PendingRemovals {
  readonly #ids = new Set<string>()

  readonly has = (id: string): boolean => this.#ids.has(id)

  request(id: string): void {
    this.#ids.add(id)
  }

  /** Its tombstone stands, its record is another owner's, or a create made it anew: nothing is left to do. */
  settle(id: string): void {
    this.#ids.delete(id)
  }

  /** All pages of a new incarnation were looked through: what is not being removed now another instance has settled. */
  settleAllBut(isRemoving: (id: string) => boolean): void {
    for (const id of this.#ids) if (!isRemoving(id)) this.#ids.delete(id)
  }
}
