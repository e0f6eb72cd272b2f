/**
 * `Peers` over the fleet's own doors: RPC over WebSockets to `/rpc/peers` of the advertised addresses.
 *
 * Two sockets are kept to each peer that is spoken to. One is for what is urgent and small (hello, ask, take, moved). The
 * other is for forwarded calls, whose large messages and slow readers must not hold up a lease. A link has a socket of its
 * own, so that it stands for nothing but itself.
 */
import { readFileSync } from "node:fs"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { RpcClientError } from "@effect/rpc/RpcClientError"
import { evictOldest } from "../../common/EvictOldest.js"
import { Settings } from "../../config/Settings.js"
import type { InvalidRequest, ManagerError } from "../../domain/Errors.js"
import type { ErrorOf, Method } from "../../domain/Methods.js"
import { CallDeadline, remaining } from "../../ports/CallDeadline.js"
import {
  type Greeting,
  type Peer,
  type PeerFailure,
  type PeerHealth,
  PeerRefused,
  Peers,
  PeerSilent,
  type SendProgress
} from "../../ports/Peers.js"
import { PeerCredential } from "../../rpc/PeerProof.js"
import { DEADLINE_HEADER } from "../../rpc/PeerRpcs.js"
import { encodablePayload } from "../../rpc/RequestDecoding.js"
import * as PeerSocket from "./PeerSocket.js"
import * as SessionPool from "./SessionPool.js"

const HANDOVER_TIMEOUT_MS = 2_000
/** How often a socket is pinged: often enough that a host that came back without the process says so soon. */
const PING_MS = 2_000
/** A link is given up later than a call: it is worth nothing while it is being made anew. */
const LINK_SILENT_PINGS = 15

/** The answer to PeerHello. */
type Hello = Omit<Greeting, "incarnation"> & { readonly incarnation: string | null }
const greeting = (answer: Hello): Greeting => ({ ...answer, incarnation: answer.incarnation ?? undefined })

type Broken = ManagerError | PeerFailure | RpcClientError

/** Turns what the RPC client says of a broken socket into `PeerSilent`; every other failure stays as it is. */
const told =
  (address: string) =>
  (cause: Cause.Cause<Broken>): Cause.Cause<ManagerError | PeerFailure> => {
    const silent = (reason: string) => Cause.fail(new PeerSilent({ address, reason, sent: true }))
    // this end did not interrupt the call: the peer's end of it was interrupted
    if (Cause.isInterruptedOnly(cause)) return silent("it ended the call without an answer")
    return Cause.flatMap(cause, (error) => {
      if (error._tag !== "RpcClientError") return Cause.fail(error)
      return error.cause instanceof PeerSilent ? Cause.fail(error.cause) : silent(error.message)
    })
  }

/**
 * The peers' own operations declare no error. So any error in place of an answer makes no sense, and is told as
 * `PeerSilent`.
 */
const senseless =
  (address: string) =>
  (cause: Cause.Cause<ManagerError | PeerFailure>): Effect.Effect<never, PeerFailure> => {
    const error = Cause.squash(cause)
    if (error instanceof PeerSilent || error instanceof PeerRefused) return Effect.fail(error)
    const reason = `its answer makes no sense: ${error instanceof Error ? error.message : String(error)}`
    return new PeerSilent({ address, reason, sent: true })
  }

const encodable = (method: string, request: unknown): Effect.Effect<void, InvalidRequest> =>
  Effect.suspend(() => {
    const checked = encodablePayload(method as Method, request)
    return Either.isLeft(checked) ? Effect.fail(checked.left) : Effect.void
  })

/** The header that carries the caller's remaining time, and that time; both absent when it waits without end. */
const deadline: Effect.Effect<{ readonly headers: Readonly<Record<string, string>>; readonly ms: number | undefined }> =
  Effect.gen(function* () {
    if ((yield* CallDeadline) === Infinity) return { headers: {}, ms: undefined }
    const ms = Math.max(0, Math.ceil(yield* remaining))
    return { headers: { [DEADLINE_HEADER]: String(ms) }, ms }
  })

/** Addresses whose last complaint is remembered; the complaint of a forgotten one is said again. */
const MAX_REMEMBERED_COMPLAINTS = 1024

/** Says why a peer cannot be spoken to, once until it can: a token or a certificate is for the operator to mend. */
const complaining = (
  dial: (address: string, me: Peer, silentPings: number) => ReturnType<typeof PeerSocket.make>
): typeof dial => {
  const said = new Map<string, string>()
  return (address, me, silentPings) =>
    dial(address, me, silentPings).pipe(
      Effect.tap(() => Effect.sync(() => said.delete(address))),
      Effect.tapErrorTag("PeerSilent", ({ reason }) =>
        Effect.suspend(() => {
          if (said.get(address) === reason) return Effect.void
          evictOldest(said.set(address, reason), MAX_REMEMBERED_COMPLAINTS)
          return Effect.logWarning(`the instance at ${address} cannot be spoken to: ${reason}`)
        })
      )
    )
}

const make = Effect.gen(function* () {
  const { backing, heartbeatInterval, heartbeatTtl, insecure, peerTlsCa, tlsCert, tlsKey } = yield* Settings
  const { keys, self } = yield* PeerCredential
  const readFiles = () => ({
    cert: readFileSync(tlsCert),
    key: readFileSync(tlsKey),
    ca: readFileSync(peerTlsCa)
  })
  let shown = peerTlsCa === "" ? undefined : readFiles()
  /** Read anew for each dial, so that a changed certificate needs no restart; half-written files leave the one before. */
  const files = () => {
    try {
      if (shown !== undefined) shown = readFiles()
    } catch {
      // the door says what is wrong with them
    }
    return shown
  }
  // over one data folder all are on one host
  const secureOnly = backing === "dapr" && !insecure
  const halfBeat = Duration.toMillis(heartbeatInterval) / 2
  // an instance that is silent for a whole lease is dead to all others
  const silentPings = Math.max(2, Math.ceil(Duration.toMillis(heartbeatTtl) / PING_MS))
  const dial = complaining((address, me, silentPings) =>
    PeerSocket.make(address, { keys, me, pingMs: PING_MS, secureOnly, silentPings, tls: files() })
  )
  const urgent = yield* SessionPool.make((address, me) => dial(address, me, silentPings))
  const forwarded = yield* SessionPool.make((address, me) => dial(address, me, silentPings))
  /** this instance as it passes calls on: without an incarnation, since the peer's trust depends on none */
  const nobody: Peer = { ...self, incarnation: "" }

  /** One exchange on a kept session, within its time. */
  const on = <A, R>(
    session: Effect.Effect<PeerSocket.PeerSocket, PeerFailure>,
    address: string,
    ms: number | undefined,
    exchange: (session: PeerSocket.PeerSocket) => Effect.Effect<A, Broken, R>
  ): Effect.Effect<A, ManagerError | PeerFailure, R> =>
    Effect.suspend(() => {
      let sent = false
      const whole = Effect.flatMap(session, (session) => {
        sent = true
        return exchange(session)
      }).pipe(Effect.catchAllCause((cause) => Effect.failCause(told(address)(cause))))
      if (ms === undefined) return whole
      const onTimeout = () => {
        const reason = sent ? `no answer within ${ms} ms` : `no answer to the dial within ${ms} ms`
        return new PeerSilent({ address, reason, sent })
      }
      return Effect.timeoutFail(whole, { duration: ms, onTimeout })
    })

  const ask = <A>(
    to: string,
    ms: number,
    method: string,
    request: { readonly from: Peer } & Readonly<Record<string, unknown>>
  ): Effect.Effect<A, PeerFailure> =>
    on(urgent(to, request.from), to, ms, (session) => session.unary(method, request, {})).pipe(
      Effect.map((answer) => answer as A),
      Effect.catchAllCause(senseless(to))
    )

  const stream = (address: string, mailbox: Mailbox.ReadonlyMailbox<unknown, ManagerError | RpcClientError>) =>
    Stream.catchAllCause(Mailbox.toStream(mailbox), (cause) => Stream.failCause(told(address)(cause)))

  const peers: Peers["Type"] = {
    hello: (to, from) => Effect.map(ask<Hello>(to, halfBeat, "PeerHello", { from }), greeting),
    probeLease: (to, from) =>
      Effect.map(
        ask<{ readonly incarnation: string | null; readonly verdict: PeerHealth | null }>(to, halfBeat, "PeerAsk", {
          from
        }),
        ({ incarnation, verdict }) => ({ incarnation: incarnation ?? undefined, verdict: verdict ?? undefined })
      ),
    offerHandover: (to, from, handover) => ask<boolean>(to, HANDOVER_TIMEOUT_MS, "PeerTake", { from, handover }),
    confirmHandover: (to, from, id, epoch) => ask<boolean>(to, HANDOVER_TIMEOUT_MS, "PeerMoved", { from, id, epoch }),
    link: (to, from, up) =>
      Effect.gen(function* () {
        const session = yield* dial(to, from, LINK_SILENT_PINGS)
        const answer = yield* session.unary("PeerHello", { from }, {}).pipe(
          Effect.map((answer) => answer as Hello),
          Effect.catchAllCause((cause) => Effect.failCause(told(to)(cause))),
          Effect.timeoutFail({
            duration: halfBeat,
            onTimeout: () => new PeerSilent({ address: to, reason: `no answer within ${halfBeat} ms`, sent: true })
          }),
          Effect.catchAllCause(senseless(to))
        )
        up(greeting(answer))
        const how = yield* session.ended
        if (how === "silent") return yield* new PeerSilent({ address: to, reason: "it answers no pings", sent: true })
      }).pipe(Effect.scoped),
    call: (to, method, request) =>
      Effect.zipRight(
        encodable(method, request),
        Effect.flatMap(deadline, ({ headers, ms }) =>
          on(forwarded(to, nobody), to, ms, (session) => session.unary(method, request, headers))
        )
      ),
    send: (to, request) =>
      Stream.unwrapScoped(
        Effect.zipRight(
          encodable("Send", request),
          Effect.flatMap(deadline, ({ headers, ms }) =>
            Effect.map(
              on(forwarded(to, nobody), to, ms, (session) => session.mailbox("PeerSend", request, headers)),
              (mailbox) => stream(to, mailbox)
            )
          )
        )
      ) as Stream.Stream<SendProgress, ErrorOf<"Send"> | PeerFailure>,
    open: (to, method, request) =>
      Effect.zipRight(
        encodable(method, request),
        Effect.flatMap(deadline, ({ headers, ms }) =>
          Effect.map(
            on(forwarded(to, nobody), to, ms, (session) =>
              session.opened.open((begun) => session.mailbox(method, request, { ...headers, ...begun }))
            ),
            (mailbox) => stream(to, mailbox)
          )
        )
      )
  }
  return peers
})

/** Started before the heartbeat, which renews over it; its sockets close after it. */
export const layer: Layer.Layer<Peers, never, Settings | PeerCredential> = Layer.scoped(Peers, make)
