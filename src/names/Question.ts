/**
 * One name asked of the name servers by c-ares: asynchronous, without a thread, and cancelled when its last waiter has gone.
 *
 * Both families are asked at once. A name that is not written in full is tried with the search list, as the system would.
 */
import { lookup, type LookupAddress, type RecordWithTtl, Resolver } from "node:dns"
import { describe, guard, type Guarded, later, soon } from "../common/CallbackGuard.js"
import { FEED } from "../domain/Limits.js"

export interface Answer {
  readonly addresses: ReadonlyArray<LookupAddress>
  /** seconds, of the record that ends first */
  readonly ttl: number
}

/** Why there is no address. `silent`: no name server said anything about this name. */
export interface NoAnswer {
  readonly reason: string
  readonly silent: boolean
}

/**
 * Asks for the first of these names that has an address. `over` comes once, when nothing is under way any more, and says
 * whether name servers answered, as far as that is known; `done` comes after it, unless what is returned was called before.
 */
export type Ask = (
  names: ReadonlyArray<string>,
  done: (answer: Answer | NoAnswer) => void,
  over: (answered?: boolean) => void
) => () => void

/** The longest that a name may take, its search list and all servers included. */
export const QUESTION_MS = 5000
/** Until a server is asked again, or the next one. */
const TRY_MS = 1000
const TRIES = 3
/** How long an answer for one family waits for the other one. */
const OTHER_FAMILY_MS = 100
/** Of the system's resolver, which says nothing about it. */
const SYSTEM_TTL = 5
/** Addresses of each family that are kept of an answer. */
const EACH = FEED.ADDRESSES / 2

/** `servers`: addresses, with ports where they have others than 53; none: those of the system. */
export const askServers =
  (servers: ReadonlyArray<string>, within = QUESTION_MS): Ask =>
  (names, done, over) => {
    let resolver: Resolver | undefined
    let ended = false
    const began = performance.now()
    const end = (answer?: Answer | NoAnswer) => {
      if (ended) return
      ended = true
      takeBack()
      resolver?.cancel()
      if (answer !== undefined) tellBoth(answer, over, done)
      else over(performance.now() - began > TRY_MS ? false : undefined)
    }
    const host = names[0]!
    const owner: Guarded = { faulted: (defect) => end(failed(host, defect)) }
    const takeBack = later(within, owner, () =>
      end({ reason: `no name server answered for ${host} within ${within} ms`, silent: true })
    )
    const failures: Array<string> = []
    const ask = (at: number, from: number): void => {
      const name = names[at]
      if (name === undefined) return end(noAnswer(host, failures))
      // One for each question: its servers can only be set, and what it asks only be cancelled, all together.
      resolver?.cancel()
      let all: ReadonlyArray<string>
      try {
        resolver = new Resolver({ timeout: TRY_MS, tries: TRIES })
        all = servers.length > 0 ? servers : resolver.getServers()
        if (servers.length > 0 || from > 0) resolver.setServers(all.slice(from))
      } catch {
        // out of descriptors
        return end({ reason: `no name server can be asked for ${host}`, silent: true })
      }
      askBoth(resolver, name, owner, (answer, code) => {
        if (ended) return
        if (answer !== undefined) return end(answer)
        // c-ares takes a server's failure for an answer. The system's resolver would ask the next server, and so does this.
        if (code === FAILURE && from + 1 < all.length) return ask(at, from + 1)
        failures.push(code)
        // What was not answered may exist: another name must not be taken for it.
        if (code === SILENCE) return end(noAnswer(host, failures))
        ask(at + 1, 0)
      })
    }
    // In a turn of its own: the caller has the returned function before it is told anything.
    soon(owner, () => {
      if (!ended) ask(0, 0)
    })
    return () => end()
  }

/** The system's own resolver, in a thread of the pool: it cannot be cancelled, so its place is taken until it is over. */
export const askSystem: Ask = (names, done, over) => {
  let waited = true
  let ended = false
  const [host = ""] = names
  const end = (answer: Answer | NoAnswer) => {
    if (ended) return
    ended = true
    tellBoth(answer, over, (told) => {
      if (waited) done(told)
    })
  }
  const owner: Guarded = { faulted: (defect) => end(failed(host, defect)) }
  const answered = (error: NodeJS.ErrnoException | null, addresses: Array<LookupAddress>) =>
    end(
      error === null
        ? { addresses, ttl: SYSTEM_TTL }
        : { reason: `${host} was not found: ${error.message}`, silent: error.code === "EAI_AGAIN" }
    )
  lookup(host, { all: true }, guard(owner, answered))
  return () => {
    waited = false
  }
}

/** Another question waits for this one's place. An exception in that one does not keep this one's answer back. */
const tellBoth = (
  answer: Answer | NoAnswer,
  over: (answered: boolean) => void,
  done: (answer: Answer | NoAnswer) => void
) => {
  try {
    over(!isSilent(answer))
  } finally {
    done(answer)
  }
}

/** Handling what was answered threw: it costs this question alone. */
const failed = (host: string, defect: unknown): NoAnswer => ({
  reason: `looking up ${host} failed unexpectedly: ${describe(defect).name}`,
  silent: false
})

const isSilent = (answer: Answer | NoAnswer): boolean => "silent" in answer && answer.silent

const SILENCE = "silence"
const FAILURE = "failure"
const NO_NAME = "no name"
const NO_ADDRESS = "no address"
const UNREADABLE = "unreadable"

const noAnswer = (host: string, codes: ReadonlyArray<string>): NoAnswer => {
  const has = (code: string) => codes.includes(code)
  if (has(SILENCE)) return { reason: `no name server answered for ${host}`, silent: true }
  if (has(FAILURE)) return { reason: `the name servers fail for ${host}`, silent: false }
  if (has(UNREADABLE)) return { reason: `the answer for ${host} cannot be read`, silent: false }
  return { reason: has(NO_ADDRESS) ? `${host} has no address` : `${host} does not exist`, silent: false }
}

const codeOf = (code: string | undefined): string => {
  switch (code) {
    case "ENOTFOUND":
      return NO_NAME
    case "ENODATA":
      return NO_ADDRESS
    case "ESERVFAIL":
    case "EREFUSED":
    case "ENOTIMP":
      return FAILURE
    case "ETIMEOUT":
    case "ECONNREFUSED":
    case "ECANCELLED":
      return SILENCE
    default:
      return UNREADABLE
  }
}

/** Told once: with the addresses of both families, or why there is none of either. */
const askBoth = (
  resolver: Resolver,
  name: string,
  owner: Guarded,
  done: (answer: Answer | undefined, code: string) => void
): void => {
  const found: Array<LookupAddress & { readonly ttl: number }> = []
  const codes: Array<string> = []
  let waiting = 2
  let told = false
  let takeBack: (() => void) | undefined
  const tell = () => {
    if (told) return
    told = true
    takeBack?.()
    if (found.length === 0) return done(undefined, worst(codes))
    const addresses = found.map(({ address, family }) => ({ address, family }))
    done({ addresses, ttl: found.reduce((least, { ttl }) => Math.min(least, ttl), Infinity) }, "")
  }
  const answered = (family: number) => (error: NodeJS.ErrnoException | null, records?: Array<RecordWithTtl>) => {
    waiting--
    if (error !== null) codes.push(codeOf(error.code))
    for (const { address, ttl } of (records ?? []).slice(0, EACH)) found.push({ address, family, ttl })
    if (waiting === 0) return tell()
    if (found.length > 0) takeBack ??= later(OTHER_FAMILY_MS, owner, tell)
  }
  resolver.resolve6(name, { ttl: true }, guard(owner, answered(6)))
  resolver.resolve4(name, { ttl: true }, guard(owner, answered(4)))
}

const worst = (codes: ReadonlyArray<string>): string =>
  [SILENCE, FAILURE, UNREADABLE, NO_ADDRESS].find((code) => codes.includes(code)) ?? NO_NAME
