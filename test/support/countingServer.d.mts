/** A socket that was accepted: whose it was, and when it opened and closed (milliseconds since 1970). */
export interface Entry {
  readonly id: string
  readonly epoch: number
  readonly instance: string
  readonly openedAt: number
  readonly closedAt?: number
  readonly code?: number
  /** when each of its frames was sent, the first one first */
  readonly sentAt: Array<number>
}

export interface CountingServer {
  readonly url: string
  readonly log: Array<Entry>
  readonly up: (ids: ReadonlyArray<string>) => number
  readonly sockets: () => number
  readonly load: (everyMs: number) => void
  readonly quiet: () => void
  readonly stop: () => Promise<void>
}

export const HEADERS: Readonly<Record<string, string>>
export const startCountingServer: () => Promise<CountingServer>
export const violations: (log: ReadonlyArray<Entry>) => ReadonlyArray<string>
export const outages: (log: ReadonlyArray<Entry>, instance: string, at: number) => ReadonlyArray<number>
