/**
 * Opens sessions: budget, dial, login, clocks, and one end that is always told.
 *
 * Needs no fiber per socket: what happens on the wire is handled where it happens, and only `ended` and `send` wake somebody.
 * Started after the secrets are there; stopped after whoever opened sessions closed their scopes.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Settings } from "../config/Settings.js"
import type { TargetForbidden } from "../domain/Errors.js"
import { Metrics } from "../observability/Metrics.js"
import { Secrets } from "../ports/Secrets.js"
import * as ClientWrapper from "./ClientWrapper.js"
import * as DialBudget from "./DialBudget.js"
import { dialFailure } from "./DialFailures.js"
import * as Handshake from "./Handshake.js"
import * as KeepAlive from "./KeepAlive.js"
import * as Opening from "./Opening.js"
import * as SendQueue from "./SendQueue.js"
import { type DialFailure, type Session, type SessionEnd, type SessionOptions, Sessions } from "./Session.js"
import { makeTimers, type Timers } from "./Timers.js"

/** Dial and login together. */
const OPEN_TIMEOUT = Duration.seconds(60)

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
    const { secretHosts } = yield* Settings
    const { dials } = yield* Metrics
    const timers = makeTimers()

    const precheck: Sessions["Type"]["precheck"] = (spec) =>
      Effect.suspend(() => {
        const refused = Opening.refuseSecret(spec, secretHosts) ?? client.refuseHost(Opening.hostOf(spec))
        return refused === undefined ? Effect.void : Effect.fail(refused)
      })

    return {
      precheck,
      budgetWait: budget.waitMillis,
      open: (options) =>
        Effect.gen(function* () {
          yield* precheck(options.spec)
          const opening = yield* Opening.resolve(options, secrets)
          yield* budget.acquire(options.spec.hostPort)
          if (!options.mayAct()) return yield* Effect.fail(dialFailure("refused", "this instance may not act now"))
          return yield* openSession(client, options, opening, timers)
        }).pipe(
          Effect.tapBoth({
            onFailure: (e) => Effect.sync(() => dials(e._tag === "TargetForbidden" ? "forbidden" : e.kind).add(1)),
            onSuccess: () => Effect.sync(() => dials("ok").add(1))
          })
        )
    }
  })
)

/** The same over the real `ws` and an own dial budget, of which `share` is this instance's part. */
export const layerLive = (share?: () => number): Layer.Layer<Sessions, never, Secrets | Settings | Metrics> =>
  layer.pipe(Layer.provide(ClientWrapper.layer()), Layer.provide(DialBudget.layer(share)))

const openSession = (
  client: ClientWrapper.ClientWrapper["Type"],
  options: SessionOptions,
  opening: Opening.Opening,
  timers: Timers
): Effect.Effect<Session, DialFailure | TargetForbidden, Scope.Scope> =>
  Effect.gen(function* () {
    const { mayAct, spec } = options
    const loggedIn = yield* Deferred.make<void, DialFailure>()
    const ended = yield* Deferred.make<SessionEnd>()
    let wire: ClientWrapper.Wire | undefined
    let keepAlive: KeepAlive.KeepAlive | undefined
    let queue: SendQueue.SendQueue | undefined
    let silent: "dead" | "idle" | undefined

    const cut = () => {
      keepAlive?.stop()
      handshake.stop()
      wire?.terminate()
    }
    const clocked: KeepAlive.KeepAliveTarget = {
      ping: () => wire?.ping(),
      sendPing: () => opening.ping && wire?.send(opening.ping, spec.keepAlive.ping?.binary === true, () => {}),
      silent: (cause) => {
        silent = cause
        if (cause === "dead") cut()
        else wire?.close(1000, SILENT.idle)
      },
      mayAct
    }
    const handshake = Handshake.make(
      spec.handshake,
      opening.value,
      {
        send: (data, binary) => wire?.send(data, binary, () => {}),
        pass: options.onFrame,
        done: (failure) => {
          // From here on nothing stands between the socket and the caller.
          onFrame = options.onFrame
          if (failure === undefined) keepAlive = KeepAlive.make(spec.keepAlive, clocked, timers)
          const exit = failure === undefined ? Exit.void : Exit.fail(dialFailure("handshake", failure))
          Deferred.unsafeDone(loggedIn, exit)
        },
        mayAct
      },
      timers
    )
    let onFrame = handshake.frame

    const handlers: ClientWrapper.WireHandlers = {
      onOpen: (opened) => {
        wire = opened
        queue = SendQueue.make(options.connectionId, { ...opened, mayAct })
        handshake.start()
      },
      onFrame: (data, binary) => {
        keepAlive?.dataFrame()
        onFrame(data, binary)
      },
      onControl: () => keepAlive?.controlFrame(),
      onEnd: (end) => {
        keepAlive?.stop()
        handshake.stop()
        queue?.end()
        const { closeCode, reason } = end
        const why = reason === "" ? "" : `: ${reason}`
        Deferred.unsafeDone(
          loggedIn,
          Exit.fail(dialFailure("handshake", `the peer closed with ${closeCode}${why}`, { closeCode }))
        )
        Deferred.unsafeDone(
          ended,
          Exit.succeed(silent === undefined ? end : { ...end, cause: silent, reason: SILENT[silent] })
        )
      }
    }

    // Before the dial, so that no interruption, wherever it strikes, leaves a socket behind.
    yield* Effect.addFinalizer(() => Effect.sync(cut))
    const target = { ...spec, ...opening, timeoutMs: spec.reconnect.dialTimeoutMs }
    yield* client.dial(target, handlers).pipe(
      Effect.zipRight(Deferred.await(loggedIn)),
      Effect.timeoutFail({
        duration: OPEN_TIMEOUT,
        onTimeout: () =>
          wire === undefined
            ? dialFailure("timeout", "not open within 60 seconds")
            : dialFailure("handshake", "the handshake steps were not done within 60 seconds")
      }),
      Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Effect.sync(cut)))
    )

    const socket = wire!
    return {
      subprotocol: socket.subprotocol,
      send: queue!.send,
      pause: () => {
        keepAlive?.paused()
        socket.pause()
      },
      resume: () => {
        keepAlive?.resumed()
        socket.resume()
      },
      close: socket.close,
      terminate: cut,
      ended: Deferred.await(ended)
    }
  })

const SILENT = { dead: "the peer sent nothing for too long", idle: "the feed sent nothing for too long" } as const
