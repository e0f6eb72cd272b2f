/** The connections of this instance by id, with their ids in order for paging: sorted once after a change, not for every page. */
import type { ManagedConnection } from "./ManagedConnection.js"

export class ConnectionTable extends Map<string, ManagedConnection> {
  #sorted: ReadonlyArray<string> | undefined

  override set(id: string, connection: ManagedConnection): this {
    if (!this.has(id)) this.#sorted = undefined
    return super.set(id, connection)
  }

  override delete(id: string): boolean {
    const had = super.delete(id)
    if (had) this.#sorted = undefined
    return had
  }

  /** The ids after this one, in order; undefined: all. */
  idsAfter(id: string | undefined): ReadonlyArray<string> {
    const ids = (this.#sorted ??= [...this.keys()].sort())
    if (id === undefined) return ids
    let low = 0
    let high = ids.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ids[middle]! <= id) low = middle + 1
      else high = middle
    }
    return ids.slice(low)
  }
}
