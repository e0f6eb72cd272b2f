/**
 * Opens sessions: budget, dial, login, clocks, and one end that is always told.
 *
 * Needs no fiber per socket: what happens on the wire is handled where it happens, and only `ended` and `send` wake a fiber.
 * Started after the secrets are there; stopped after the openers of sessions closed their scopes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { isLoopback } from "../common/Hosts.js"
import { Settings } from "../config/Settings.js"
import { refuseBy } from "../domain/secrets/SecretHosts.js"
import { Descriptors } from "../observability/Descriptors.js"
import { Metrics } from "../observability/Metrics.js"
import { Secrets } from "../ports/Secrets.js"
import * as ClientWrapper from "./ClientWrapper.js"
import * as DialBudget from "./dial/DialBudget.js"
import * as OpeningRequest from "./dial/OpeningRequest.js"
import { SocketSession } from "./SocketSession.js"
import { toDialCause } from "./wire/DialFailures.js"
import { type DialCause, type Session, type SessionOptions, Sessions } from "./wire/Session.js"
import { makeTimers, type Timers } from "./wire/Timers.js"

/** Dial and login together, once the name is resolved. */
const OPEN_TIMEOUT = Duration.seconds(60)

/** Dials and logs in, within the dial budget and by the secrets and settings of the program. */
export const layer: Layer.Layer<
  Sessions,
  never,
  ClientWrapper.ClientWrapper | DialBudget.DialBudget | Secrets | Settings | Metrics
> = Layer.effect(
  Sessions,
  Effect.gen(function* () {
    const client = yield* ClientWrapper.ClientWrapper
    const budget = yield* DialBudget.DialBudget
    const secrets = yield* Secrets
    const settings = yield* Settings
    // A caller from beyond this host may not choose where a secret goes.
    const refuse = refuseBy(settings.secretHosts, !isLoopback(settings.host))
    const { dials } = yield* Metrics
    const timers = makeTimers()
    const descriptors = new Descriptors()
    /** A dial for which no descriptor is free fails, and is tried again like any other: what is left is for the doors. */
    const descriptor = (take: boolean) =>
      Effect.suspend(() => {
        if (descriptors.hasRoom(take)) return Effect.void
        const reason = `too few file descriptors are left (the limit is ${descriptors.limit}): raise it with 'ulimit -n'`
        return Effect.fail(toDialCause("refused", reason))
      })

    const precheck: Sessions["Type"]["precheck"] = (spec) =>
      Effect.suspend(() => {
        const refused = OpeningRequest.refuseSecret(spec, refuse) ?? client.refuseHost(spec.hostPort)
        return refused === undefined ? Effect.void : Effect.fail(refused)
      })

    /** Another address for the same dial. */
    const mayTry = (address: string): boolean => descriptors.hasRoom(true) && budget.mayTry(address)

    return {
      precheck,
      budgetWait: budget.waitMillis,
      unfinished: client.unfinished,
      open: (options) =>
        Effect.gen(function* () {
          yield* precheck(options.spec)
          yield* descriptor(false)
          const opening = yield* OpeningRequest.resolve(options, secrets)
          const { hostPort } = options.spec
          yield* budget.acquire(hostPort)
          const target = targetOf(options, opening)
          const route = yield* client.resolve(target)
          const [first] = route.addresses
          if (first !== undefined) yield* budget.acquireAddress(hostPort, first.address)
          if (!options.mayDial()) return yield* Effect.fail(toDialCause("refused", "this instance may not act now"))
          yield* descriptor(true)
          const dial = (session: SocketSession) => client.dial(target, route, session, mayTry)
          return yield* openSession(dial, options, opening, timers)
        }).pipe(
          Effect.tapBoth({
            onFailure: (e) => Effect.sync(() => dials(e._tag === "TargetForbidden" ? "forbidden" : e.kind).add(1)),
            onSuccess: () => Effect.sync(() => dials("ok").add(1))
          })
        )
    }
  })
)

/** The same over the real `ws`, or another `client`, and an own dial budget, of which `share` is this instance's part. */
export const layerLive = (
  share?: () => number,
  client: Layer.Layer<ClientWrapper.ClientWrapper, never, Settings> = ClientWrapper.layer()
): Layer.Layer<Sessions, never, Secrets | Settings | Metrics> =>
  layer.pipe(Layer.provide(client), Layer.provide(DialBudget.layer(share)))

const targetOf = ({ spec }: SessionOptions, opening: OpeningRequest.OpeningRequest): ClientWrapper.DialTarget => ({
  url: Redacted.value(opening.url.value),
  headers: Redacted.value(opening.headers.value),
  subprotocols: opening.subprotocols.map(({ value }) => Redacted.value(value)),
  maxMessageBytes: spec.maxMessageBytes,
  compression: spec.compression,
  timeoutMs: spec.reconnect.dialTimeoutMs
})

const openSession = (
  dial: (session: SocketSession) => Effect.Effect<void, DialCause>,
  options: SessionOptions,
  opening: OpeningRequest.OpeningRequest,
  timers: Timers
): Effect.Effect<Session, DialCause, Scope.Scope> => {
  const session = new SocketSession(options, opening, timers)
  const { reconnect } = options.spec
  const cut = Effect.sync(() => session.terminate())
  const opened = Effect.zipRight(dial(session), session.loggedIn).pipe(
    // What ws, node or the peer say of an opening may quote it.
    Effect.mapError((e) => ({ ...e, reason: opening.conceal(e.reason) }))
  )
  // a login without steps needs no time-out beside the dial's own
  const simple = options.spec.handshake.length === 0 && reconnect.dialTimeoutMs <= Duration.toMillis(OPEN_TIMEOUT)
  const inTime = Effect.timeoutFail(opened, {
    duration: OPEN_TIMEOUT,
    onTimeout: () =>
      session.isOpen()
        ? toDialCause("handshake", "the handshake steps were not done within 60 seconds")
        : toDialCause("timeout", "not open within 60 seconds")
  })
  const dialled = (simple ? opened : inTime).pipe(
    Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : cut)),
    Effect.as(session)
  )
  // The finalizer stands before the dial, so that no interruption, wherever it strikes, leaves a socket behind. It is put
  // into the scope itself: `Effect.addFinalizer` would keep the fiber's environment for as long as the socket lives.
  return Effect.zipRight(
    Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, cut)),
    dialled
  )
}
