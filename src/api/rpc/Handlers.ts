/** The handlers of the RPC group over one door's executor. A caller's own timeout arrives as interruption. */
import type { Headers } from "@effect/platform/Headers"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StreamMethod, StreamTypes } from "../../domain/Methods.js"
import type * as Executor from "./Executor.js"
import { ManagerRpcs } from "./ManagerRpcs.js"
import { CLIENT_HEADER } from "./Wire.js"

/** Told when a stream has begun, before its first item. */
export type OnOpened = (call: { readonly clientId: number; readonly headers: Headers }) => Effect.Effect<void>

export const make = ({ call, open }: Executor.Executor, onOpened: OnOpened) => {
  const stream =
    <K extends StreamMethod>(method: K) =>
    (request: StreamTypes[K][0], info: { readonly clientId: number; readonly headers: Headers }) =>
      Stream.unwrapScoped(Effect.tap(open(method, request, info.headers[CLIENT_HEADER] ?? ""), onOpened(info)))

  return ManagerRpcs.of({
    Connect: (request) => call("Connect", request),
    Disconnect: (request) => call("Disconnect", request),
    Reconnect: (request) => call("Reconnect", request),
    Get: (request) => call("Get", request),
    List: (request) => call("List", request),
    StartPublish: (request) => call("StartPublish", request),
    StopPublish: (request) => call("StopPublish", request),
    Send: (request) => call("Send", request),
    SendRaw: (request) => call("SendRaw", request),
    Receive: stream("Receive"),
    Subscribe: stream("Subscribe"),
    SetTag: (request) => call("SetTag", request),
    GetTag: (request) => call("GetTag", request),
    SetTags: (request) => call("SetTags", request),
    GetTags: (request) => call("GetTags", request),
    DeleteTag: (request) => call("DeleteTag", request),
    Watch: stream("Watch"),
    ListInstances: (request) => call("ListInstances", request),
    Migrate: (request) => call("Migrate", request),
    Drain: (request) => call("Drain", request),
    Rebalance: (request) => call("Rebalance", request)
  })
}
