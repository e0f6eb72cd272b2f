/**
 * The door for the other instances of the fleet (`/rpc/peers`): PeerRpcs over a WebSocket, answered by the PeerService.
 *
 * Open as soon as the listener is, and closed just before it: a peer must never take a start or a stop for a crash. A call
 * that comes while the PeerService is not there waits, as long as its own deadline allows.
 */
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcServer from "@effect/rpc/RpcServer"
import type { Headers } from "@effect/platform/Headers"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import type { WebSocket } from "ws"
import { ByteBudget } from "../../common/ByteBudget.js"
import { PEER } from "../../domain/Limits.js"
import { STREAM_METHODS, type StreamMethod, UNARY_METHODS, type UnaryMethod } from "../../domain/Methods.js"
import { StreamQuota } from "../../manager/StreamQuota.js"
import { Unread } from "../../manager/Unread.js"
import { Essentials } from "../../observability/Essentials.js"
import { CallDeadline } from "../../ports/CallDeadline.js"
import { type HandoverOffer, type Peer, PeerService } from "../../ports/Peers.js"
import { PeerCredential } from "../../rpc/PeerProof.js"
import { DEADLINE_HEADER, PeerRpcs } from "../../rpc/PeerRpcs.js"
import { judgeOf } from "../../rpc/RequestDecoding.js"
import * as PeerAdmission from "./PeerAdmission.js"
import * as SocketProtocol from "./SocketProtocol.js"

type Served = RpcGroup.Rpcs<typeof PeerRpcs>
type Desk = PeerService["Type"]

export class PeerDoor extends Context.Tag("websocketmanager/api/rpc/PeerDoor")<
  PeerDoor,
  {
    /** Takes over an upgraded socket, and serves it once it has proved to be a peer's. Its payload limit is MAX_BODY_BYTES. */
    readonly admit: (ws: WebSocket, socket: Duplex) => void
    /** Answers by this desk until the scope closes. */
    readonly serve: (desk: Desk) => Effect.Effect<void, never, Scope.Scope>
  }
>() {}

interface Call {
  readonly clientId: number
  readonly headers: Headers
}

/** When the caller stops waiting, by this clock. */
const deadlineOf = ({ headers }: Call): Effect.Effect<number> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const left = Number(headers[DEADLINE_HEADER] ?? "none")
    return Number.isFinite(left) ? now + left : Infinity
  })

const handlers = (
  desk: Effect.Effect<Desk>,
  opened: SocketProtocol.Opened,
  proved: (clientId: number) => Peer | undefined
) => {
  /** The desk, for a peer that speaks of itself as the instance which it has proved to be. */
  const as = (from: Peer, { clientId }: Call) =>
    Effect.suspend(() => {
      const known = proved(clientId)
      const same = known?.id === from.id && known.incarnation === from.incarnation && known.address === from.address
      return same ? desk : Effect.dieMessage("a peer speaks for itself alone, as it has proved to be")
    })

  const unary = (method: UnaryMethod) => (request: unknown, call: Call) =>
    Effect.gen(function* () {
      const { call: answer } = yield* desk
      const at = yield* deadlineOf(call)
      const answered = Effect.provideService(answer(method, request), CallDeadline, at)
      if (at === Infinity) return yield* answered
      // the peer no longer waits: what is still being done ends
      const inTime = yield* Effect.timeoutOption(answered, at - (yield* Clock.currentTimeMillis))
      return yield* Option.isSome(inTime) ? Effect.succeed(inTime.value) : Effect.interrupt
    })

  const streaming = (method: StreamMethod) => (request: unknown, call: Call) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const { open } = yield* desk
        const at = yield* deadlineOf(call)
        const stream = yield* Effect.provideService(open(method, request), CallDeadline, at)
        yield* opened(call.clientId, call.headers)
        return stream
      })
    )

  return {
    PeerHello: ({ from }: { readonly from: Peer }, call: Call) =>
      Effect.flatMap(as(from, call), ({ hello }) =>
        Effect.map(hello(from), (greeting) => ({ ...greeting, incarnation: greeting.incarnation ?? null }))
      ),
    PeerAsk: ({ from }: { readonly from: Peer }, call: Call) =>
      Effect.flatMap(as(from, call), ({ probeLease: ask }) =>
        Effect.map(ask(from), ({ incarnation, verdict }) => ({
          incarnation: incarnation ?? null,
          verdict: verdict ?? null
        }))
      ),
    PeerTake: ({ from, handover }: { readonly from: Peer; readonly handover: HandoverOffer }, call: Call) =>
      Effect.flatMap(as(from, call), ({ offerHandover: take }) => take(from, handover)),
    PeerMoved: (
      { epoch, from, id }: { readonly from: Peer; readonly id: string; readonly epoch: number },
      call: Call
    ) => Effect.flatMap(as(from, call), ({ confirmHandover: moved }) => moved(from, id, epoch)),
    PeerSend: (request: Parameters<Desk["send"]>[0], call: Call) =>
      Stream.unwrap(
        Effect.map(Effect.zip(desk, deadlineOf(call)), ([{ send }, at]) =>
          Stream.provideService(send(request), CallDeadline, at)
        )
      ),
    ...Object.fromEntries(UNARY_METHODS.map((method) => [method, unary(method)])),
    ...Object.fromEntries(STREAM_METHODS.map((method) => [method, streaming(method)]))
  }
}

/** Between two log lines about sockets that were turned away. */
const SAY_EVERY_MS = 10_000

export const layer: Layer.Layer<PeerDoor, never, PeerCredential | Essentials> = Layer.scoped(
  PeerDoor,
  Effect.gen(function* () {
    const { keys, self } = yield* PeerCredential
    const { essential } = yield* Essentials
    const { accept, closeAll, opened, protocol } = yield* SocketProtocol.make(judgeOf(PeerRpcs), {
      bytes: PEER.REQUEST_BYTES,
      all: new ByteBudget(PEER.ALL_REQUEST_BYTES),
      requests: PEER.REQUESTS,
      unread: new Unread(PEER.ALL_UNREAD_BYTES),
      unreadBytes: PEER.UNREAD_BYTES,
      large: new Set()
    })
    const served = yield* Effect.makeLatch(false)
    let desk: Desk | undefined
    const present: Effect.Effect<Desk> = Effect.suspend(() =>
      desk === undefined ? Effect.zipRight(served.await, present) : Effect.succeed(desk)
    )
    // by name, since the manager's operations are there by table
    const proved = new Map<number, Peer>()
    const table = handlers(present, opened, (clientId) =>
      proved.get(clientId)
    ) as unknown as RpcGroup.HandlersFrom<Served>
    const handling = PeerRpcs.toLayer(table) as Layer.Layer<Rpc.ToHandler<Served>>
    yield* RpcServer.make(PeerRpcs, { disableFatalDefects: true, spanPrefix: "Peer" }).pipe(
      Effect.provideService(RpcServer.Protocol, protocol),
      Effect.provide(handling),
      (server) => essential("calls of peers", server),
      Effect.interruptible,
      Effect.forkScoped
    )
    // registered last, so that it runs first: the server waits for its clients to end
    yield* Effect.addFinalizer(() => closeAll)
    const fork = yield* FiberSet.makeRuntime()
    let saidAt = -Infinity
    const admit = PeerAdmission.make({
      keys,
      self: () => ({ ...self, incarnation: desk?.incarnation() ?? "" }),
      admitted: (ws, peer) => {
        const id = accept(ws, {})
        proved.set(id, peer)
        ws.on("close", () => proved.delete(id))
      },
      refused: (why) => {
        if (performance.now() - saidAt < SAY_EVERY_MS) return
        saidAt = performance.now()
        fork(Effect.logWarning(`somebody at the peers' door was turned away: ${why}`))
      }
    })
    return {
      admit,
      serve: (next) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            desk = next
            return Effect.asVoid(served.open)
          }),
          () =>
            Effect.suspend(() => {
              desk = undefined
              return served.close
            })
        )
    }
  })
)

/** The door answers by the desk for as long as this lives. A forwarded stream holds a place in this instance's quota too. */
export const serving: Layer.Layer<never, never, PeerDoor | PeerService | StreamQuota> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const door = yield* PeerDoor
    const desk = yield* PeerService
    const quota = yield* StreamQuota
    yield* door.serve({
      ...desk,
      open: (method, request) => Effect.zipRight(quota.take(), desk.open(method, request))
    })
  })
)
