/** The stage of an instance's life, as readiness tells it: one value, watched by the health doors. */

export type PhaseName = "booting" | "ready" | "draining" | "left" | "fenced"

export interface Phase {
  readonly get: () => PhaseName
  readonly set: (name: PhaseName) => void
  /** Calls back, synchronously, on each change, until the returned function is called. */
  readonly onChange: (listener: (name: PhaseName) => void) => () => void
}

export const make = (): Phase => {
  let present: PhaseName = "booting"
  const listeners = new Set<(name: PhaseName) => void>()
  return {
    get: () => present,
    set: (name) => {
      // Nothing comes after leaving: a late fence or join of a process on its way out changes nothing.
      if (name === present || present === "left" || (present === "draining" && name !== "left")) return
      present = name
      for (const listener of listeners) listener(name)
    },
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
  }
}
