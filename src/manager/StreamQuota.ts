/**
 * What all callers of an instance share, over all doors together. That is a number of streams, the bytes of requests
 * without an answer yet, and the bytes of unread answers. One more stream is refused, none waits.
 *
 * A client is known by its socket or address alone. So the last quarter of the streams is kept for clients that have less
 * than a quarter. One client cannot take what all need, unless it comes from many addresses.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { ByteBudget } from "../common/ByteBudget.js"
import { QuotaExceeded } from "../domain/Errors.js"
import { CALLER } from "../domain/Limits.js"
import { Unread } from "./Unread.js"

export const MAX_STREAMS = CALLER.STREAMS

export class StreamQuota extends Context.Tag("websocketmanager/api/rpc/StreamQuota")<
  StreamQuota,
  {
    /** Takes one place until the scope closes; without a client, for one that has been let in elsewhere. */
    readonly take: (client?: string) => Effect.Effect<void, QuotaExceeded, Scope.Scope>
    readonly open: () => number
    /** bytes of requests */
    readonly requests: ByteBudget
    /** answers that have not been read */
    readonly unread: Unread
    /** Bytes of one request of a client, taken as they come, given back together. */
    readonly hold: (client: string) => { readonly take: (bytes: number) => boolean; readonly release: () => void }
  }
>() {}

/** Processes of this host have one address and are told apart by their sockets; others by their address. */
export const clientOf = (address: string | undefined, port: number | undefined): string => {
  const bare = (address ?? "").replace(/^::ffff:/, "")
  return bare === "::1" || bare.startsWith("127.") ? `${bare}:${port}` : bare
}

export const make = (limit: number): StreamQuota["Type"] => {
  let open = 0
  const places = new Map<string, number>()
  const share = limit / 4
  const requests = new ByteBudget(CALLER.ALL_REQUEST_BYTES)
  /** of clients that have a request on its way */
  const budgets = new Map<string, ByteBudget>()
  return {
    requests,
    unread: new Unread(CALLER.ALL_UNREAD_BYTES),
    hold: (client) => {
      let held = 0
      return {
        take: (bytes) => {
          const budget = budgets.get(client) ?? new ByteBudget(CALLER.REQUEST_BYTES, requests)
          budgets.set(client, budget)
          if (budget.take(bytes)) held += bytes
          else return false
          return true
        },
        release: () => {
          const budget = budgets.get(client)
          budget?.give(held)
          held = 0
          if (budget?.used === 0) budgets.delete(client)
        }
      }
    },
    open: () => open,
    take: (client) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const mine = client === undefined ? 0 : (places.get(client) ?? 0)
          if (open >= limit) return new QuotaExceeded({ quota: "streams" })
          if (mine >= share && open >= limit - share) return new QuotaExceeded({ quota: "streams of one client" })
          open += 1
          if (client !== undefined) places.set(client, mine + 1)
          return Effect.void
        }),
        () =>
          Effect.sync(() => {
            open -= 1
            if (client === undefined) return
            const left = places.get(client)! - 1
            if (left === 0) places.delete(client)
            else places.set(client, left)
          })
      )
  }
}

export const layer: Layer.Layer<StreamQuota> = Layer.sync(StreamQuota, () => make(MAX_STREAMS))
