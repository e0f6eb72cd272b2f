/**
 * Listeners of one thing: told synchronously, in the order in which they came. One that throws keeps none of the others from
 * hearing; what it threw is thrown once all have heard.
 */
export class Listeners<Said extends ReadonlyArray<unknown>> {
  readonly #all = new Set<(...said: Said) => void>()

  /** Told from now on, until the returned function is called. */
  readonly add = (listener: (...said: Said) => void): (() => void) => {
    this.#all.add(listener)
    return () => {
      this.#all.delete(listener)
    }
  }

  get size(): number {
    return this.#all.size
  }

  /** Tells those that are there now: one that comes while they are told hears the next. */
  tell(...said: Said): void {
    const failures: Array<unknown> = []
    for (const listener of Array.from(this.#all)) {
      try {
        listener(...said)
      } catch (failure) {
        failures.push(failure)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
