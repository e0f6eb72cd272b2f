/**
 * Watch over the whole fleet: the events of this instance and of each member, in one bounded buffer for the reader.
 *
 * An instance that joins is followed from then on. What may have been told while there was no link to an instance counts as
 * at least one missed event, in the next event.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ErrorOf } from "../../domain/Methods.js"
import type { WatchRequest, WatchResponse } from "../../domain/Messages.js"
import * as ReaderBuffer from "../../messaging/ReaderBuffer.js"
import type { Peer } from "../../ports/Peers.js"
import { readAll } from "../operations/Send.js"
import { ownersStream, type RoutingContext } from "./Forward.js"

/** How long the beginning waits for the instances' streams to begin. */
const PEER_OPEN_TIMEOUT = "1 second"
/** How long until a broken link is tried again. */
const STREAM_RETRY_DELAY = "500 millis"

export const watch = (
  reach: RoutingContext,
  request: WatchRequest
): Effect.Effect<Stream.Stream<WatchResponse>, ErrorOf<"Watch">, Scope.Scope> =>
  Effect.gen(function* () {
    const { local, membership, roster } = reach
    const mine = yield* local.operations.watch(request)
    const reader = new FleetReader()
    yield* Effect.addFinalizer(() => Effect.sync(() => reader.buffer.end()))
    const followed = yield* FiberMap.make<string, void>()

    const follow = (peer: Peer, late: boolean) =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        // its own `joined` event came before any listener could be there
        if (late) reader.lost()
        yield* FiberMap.run(followed, peer.incarnation, read(reach, peer, request, reader, begun))
        return Deferred.await(begun)
      })
    const isMember = (incarnation: string) => membership.members().some((member) => member.incarnation === incarnation)
    const look = Effect.gen(function* () {
      for (const peer of membership.members()) {
        if (!(yield* FiberMap.has(followed, peer.incarnation))) yield* follow(peer, true)
      }
      for (const [incarnation] of followed) if (!isMember(incarnation)) yield* FiberMap.remove(followed, incarnation)
    })

    const first = yield* Effect.forEach(membership.members(), (peer) => follow(peer, false))
    yield* Effect.timeoutOption(Effect.all(first, { concurrency: "unbounded", discard: true }), PEER_OPEN_TIMEOUT)
    // looked at once more at the beginning: they may have changed while the streams began
    const turn = Effect.suspend(() => {
      const changed = roster.changed()
      return Effect.zipRight(look, changed)
    })
    yield* Effect.forkScoped(Effect.forever(turn))
    yield* Effect.forkScoped(
      Effect.ensuring(
        Effect.ignore(Stream.runForEach(mine, (event) => Effect.sync(() => reader.offer(event)))),
        Effect.sync(() => reader.buffer.end())
      )
    )
    return readAll(reader.buffer, (event, missed) => reader.counted(event, missed))
  })

/** One member's events, for as long as it is one; the links are made again and again. */
const read = (
  reach: RoutingContext,
  peer: Peer,
  request: WatchRequest,
  reader: FleetReader,
  begun: Deferred.Deferred<void>
): Effect.Effect<void> => {
  let linked = true
  const once = Effect.scoped(
    Effect.gen(function* () {
      const events = yield* reach.peers.open(peer.address, "Watch", request)
      // what it told between the break and now is unknown
      if (!linked) reader.lost()
      linked = true
      yield* Deferred.succeed(begun, undefined)
      yield* Stream.runForEach(ownersStream(reach, peer, events), (event) =>
        Effect.sync(() => reader.offer(event as WatchResponse))
      )
    })
  )
  return Effect.ignore(once).pipe(
    Effect.zipRight(
      Effect.sync(() => {
        if (linked) reader.lost()
        linked = false
      })
    ),
    Effect.zipRight(Deferred.succeed(begun, undefined)),
    Effect.zipRight(Effect.sleep(STREAM_RETRY_DELAY)),
    Effect.forever
  )
}

/** What one Watch has not read yet; `missed` of all the instances counts into the next event it gets. */
class FleetReader {
  readonly buffer = ReaderBuffer.make<WatchResponse>()
  private missed = 0

  offer(event: WatchResponse): void {
    this.missed += event.missed
    this.buffer.offer(event, sizeOf(event))
  }

  /** What an instance told meanwhile is unknown. */
  lost(): void {
    this.missed += 1
  }

  /** The event as its reader gets it; `dropped` went from the buffer before it. */
  counted(event: WatchResponse, dropped: number): WatchResponse {
    const missed = this.missed + dropped
    this.missed = 0
    return { ...event, missed }
  }
}

/** What an event counts for beside its attributes. */
const FORWARDED_EVENT_OVERHEAD_BYTES = 256

const sizeOf = ({ attributes }: WatchResponse): number => {
  let bytes = FORWARDED_EVENT_OVERHEAD_BYTES
  for (const key in attributes) bytes += key.length + attributes[key]!.length
  return bytes
}
