/**
 * Matches replies to requests on one socket: four modes, thousands in flight, one map look-up per incoming frame.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import { BufferFull, type InvalidRequest, SendTimeout } from "../../domain/Errors.js"
import { CALLER } from "../../domain/Limits.js"
import type { SendResponse } from "../../domain/Messages.js"
import { LateReplies } from "./LateReplies.js"
import { NextLine, type NextLineOptions } from "./NextLine.js"
import { prepare, type Prepared } from "./OutgoingRequest.js"
import { type CorrelatorRequest, type Group, IncomingFrame, type RequestAborted, Waiter } from "./ReplyMatcher.js"

export interface Correlator {
  /** Whether any request waits for a reply: the hot path asks this first. */
  readonly waiting: () => boolean
  /**
   * Offers an incoming frame. True: it was a reply, and goes nowhere else. Synchronous. A frame over `lookInto` bytes is no
   * reply where its JSON would have to be looked at.
   */
  readonly tryMatch: (data: Buffer, binary: boolean, lookInto?: number) => boolean
  /**
   * Sends one message and waits for its reply. A deadline or an interruption frees its slot; in mode NEXT, only once its
   * reply has come all the same. A reply that comes later is an ordinary frame, even when another request waits by then.
   */
  readonly request: <E>(
    request: CorrelatorRequest<E>
  ) => Effect.Effect<SendResponse, E | InvalidRequest | BufferFull | SendTimeout | RequestAborted>
  /**
   * The socket ended: every request in flight ends with RequestAborted. A message that is just being handed to the socket
   * ends as its `send` does, which alone knows whether it left.
   */
  readonly abort: () => void
}

/** The correlator of one connection; it serves one socket after the other. */
export const make = (connectionId: string, options: NextLineOptions): Correlator => {
  /** by mode and reply path; a group exists while a request waits in it */
  const groups = new Map<string, Group>()
  /** made by the first NEXT request: most connections never see one */
  let line: NextLine | undefined
  /** made by the first request that gave up on its reply */
  let late: LateReplies | undefined
  let lastId = 0

  const unusedId = (): number => {
    do lastId++
    while ([...groups.values()].some((group) => group.waiters.has(String(lastId))))
    return lastId
  }

  /** Sends and waits. The waiter stands ready before the message goes out, so that no reply is too fast. */
  const exchange = <E>(waiter: Waiter, request: CorrelatorRequest<E>, message: Uint8Array, binary: boolean) =>
    Effect.suspend(() =>
      request.send(message, binary, () => {
        waiter.handed = true
      })
    ).pipe(
      Effect.tapError(() =>
        Effect.sync(() => {
          waiter.handed = false
        })
      ),
      Effect.zipRight(waiter.settled)
    )

  const viaNext = <E>(request: CorrelatorRequest<E>) =>
    (line ??= new NextLine(options)).run(request.message.length, (waiter) =>
      exchange(waiter, request, request.message, request.binary)
    )

  const viaGroup = <E>(request: CorrelatorRequest<E>, { binary, group, groupKey, key, message }: Prepared) => {
    const waiter = new Waiter()
    groups.set(groupKey, group)
    group.waiters.set(key, waiter)
    return Effect.ensuring(
      exchange(waiter, request, message, binary),
      Effect.sync(() => {
        if (group.waiters.get(key) === waiter) {
          group.waiters.delete(key)
          if (waiter.handed) (late ??= new LateReplies()).add(groupKey, group, key)
        }
        if (group.waiters.size === 0 && groups.get(groupKey) === group) groups.delete(groupKey)
      })
    )
  }

  const answer = (waiter: Waiter, reply: SendResponse): true => {
    waiter.settle(Exit.succeed(reply))
    return true
  }

  return {
    waiting: () => groups.size > 0 || (line !== undefined && line.isDue()),

    tryMatch: (data, binary, lookInto) => {
      const frame = new IncomingFrame(data, binary, lookInto)
      if (groups.size > 0) {
        for (const group of groups.values()) {
          const found = group.read(frame)
          const waiter = found === undefined ? undefined : group.waiters.get(found.key)
          const reply = waiter === undefined ? undefined : found!.reply()
          if (reply === undefined) continue
          // A second reply to the same id is an ordinary frame.
          group.waiters.delete(found!.key)
          return answer(waiter!, reply)
        }
      }
      if (line === undefined || !line.isDue() || late?.take(frame) === true) return false
      const waiter = line.next()
      return waiter !== undefined && answer(waiter, frame.whole())
    },

    request: <E>(request: CorrelatorRequest<E>) => {
      const run = Effect.suspend((): Effect.Effect<SendResponse, E | InvalidRequest | BufferFull | RequestAborted> => {
        if (request.correlation.mode === "next") return viaNext(request)
        const prepared = prepare(request, groups, unusedId)
        if (Either.isLeft(prepared)) return prepared.left
        // each frame is looked into once for each group
        if (groups.size >= CALLER.REPLY_PATHS && !groups.has(prepared.right.groupKey)) {
          return new BufferFull({ what: `the room for ${CALLER.REPLY_PATHS} reply paths at a time` })
        }
        return viaGroup(request, prepared.right)
      })
      return Effect.timeoutFail(run, {
        duration: request.timeoutMs,
        onTimeout: () => new SendTimeout({ id: connectionId })
      })
    },

    abort: () => {
      const next = line?.abort()
      late?.clear()
      const waiters = [...groups.values()].flatMap((group) => [...group.waiters.values()])
      groups.clear()
      if (next !== undefined) waiters.push(next)
      for (const waiter of waiters) waiter.settle(Exit.fail({ _tag: "RequestAborted", sent: "yes" }))
    }
  }
}
