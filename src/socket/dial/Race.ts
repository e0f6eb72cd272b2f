/**
 * One connected socket out of several addresses (happy eyeballs, RFC 8305). The next one is begun when the one before
 * failed, or has not connected within a quarter of a second; the first to be connected wins, and the others are cut. No
 * attempt has a deadline of its own: the caller of the race calls it off.
 *
 * Over TLS an attempt has won once its handshake is done, so that a peer sees one WebSocket opening, whichever attempt
 * wins.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import { type Guarded, later, listenTo, soon } from "../../common/CallbackGuard.js"
import type { Addresses } from "../../names/Resolver.js"
import { fromError } from "../wire/DialFailures.js"

export interface Course {
  /** in the order in which they are tried */
  readonly addresses: Addresses
  readonly port: number
  /** how to verify the peer; none: no TLS */
  readonly tls: { readonly servername: string; readonly ca?: string } | undefined
  /** Asked before each attempt but the first. */
  readonly mayTry: (address: string) => boolean
}

/** Between two attempts. */
const STAGGER_MS = 250
/**
 * The same, for an attempt whose TCP connection stands and whose TLS handshake is not done: a round trip or two, and a busy
 * peer.
 */
const TLS_STAGGER_MS = 2000

interface Attempt {
  readonly socket: Net.Socket
  /** of its TCP connection */
  connectedAt: number | undefined
}

/** Told once, never before it returned: a socket without listeners yet, or why there is none. */
export const race = (
  { addresses, mayTry, port, tls }: Course,
  owner: Guarded,
  done: (error: Error | undefined, socket: Net.Socket | undefined) => void
): (() => void) => {
  const left = [...addresses]
  const running = new Set<Attempt>()
  const errors: Array<Error> = []
  let over = false
  let takeBack = ignore

  const stop = (winner?: Net.Socket) => {
    over = true
    takeBack()
    for (const { socket } of running) if (socket !== winner) socket.destroy()
    running.clear()
  }
  const nextIn = (millis: number) => {
    takeBack()
    if (left.length > 0) takeBack = later(millis, owner, next)
  }
  /** How long those that run may go on alone. */
  const patience = (): number => {
    const since = [...running].map(({ connectedAt }) => connectedAt).filter((at) => at !== undefined)
    return since.length === 0 ? 0 : Math.min(...since) + TLS_STAGGER_MS - performance.now()
  }
  const next = () => {
    if (over) return
    const wait = patience()
    if (wait > 0) return nextIn(wait)
    const at = errors.length + running.size === 0 ? 0 : left.findIndex(({ address }) => mayTry(address))
    if (at >= 0) begin(left.splice(at, 1)[0]!.address)
    nextIn(STAGGER_MS)
  }
  const begin = (address: string) => {
    const to = { host: address, port, autoSelectFamily: false }
    const socket = tls === undefined ? Net.connect(to) : Tls.connect({ ...to, ...tls })
    const attempt: Attempt = { socket, connectedAt: undefined }
    running.add(attempt)
    const heard = [
      listenTo(socket, "connect", owner, () => {
        attempt.connectedAt = performance.now()
        if (tls === undefined) won()
      }),
      listenTo(socket, "secureConnect", owner, () => won()),
      listenTo(socket, "error", owner, (error: Error) => {
        if (!over && running.delete(attempt)) failed(error)
      })
    ]
    const won = () => {
      if (over) return
      // The listeners of the race would keep the dial for as long as the socket lives. Until the next turn nothing else
      // listens for errors, so this one does.
      for (const forget of heard) forget()
      listenTo(socket, "error", NOBODY, ignore)
      stop(socket)
      done(undefined, socket)
    }
  }
  const failed = (error: Error) => {
    errors.push(error)
    if (left.length > 0) return next()
    if (running.size > 0) return
    stop()
    done(telling(errors), undefined)
  }

  soon(owner, next)
  return () => stop()
}

const ignore = () => {}
const NOBODY: Guarded = { faulted: ignore }

/** Errors that say least about a peer: there is no way to it from here. */
const NO_WAY = new Set(["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"])

/** The one of several errors that says most. */
const telling = (errors: ReadonlyArray<Error>): Error =>
  errors.find((error) => fromError(error).kind === "tls") ??
  errors.find((error) => !NO_WAY.has((error as NodeJS.ErrnoException).code ?? "")) ??
  errors[0]!
