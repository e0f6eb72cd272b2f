/** Commands on connections: connect, ls, get, publish, unpublish, reconnect, disconnect. */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import type * as M from "../../domain/Messages.js"
import type { ConnectRequest } from "../../domain/Spec.js"
import type { CliHost, OutputClosed } from "../CliHost.js"
import { CONNECTION_HEADER, connectionBlock, connectionRow } from "../Format.js"
import { fileReader } from "../FromFile.js"
import { argument, flag, optional, optionalText, repeated, repeatedText } from "../Parameters.js"
import { withManager } from "../RemoteManager.js"
import { jsonLine, table } from "../Text.js"
import { choice, duration, integer, keyValue, size } from "../Values.js"
import { hint, print, remote } from "./shared.js"

export const id = argument("ID", "The connection, as 'wsm ls' shows it")

const encoder = new TextEncoder()

export const correlation = choice({
  "json-field": "CORRELATION_MODE_JSON_FIELD",
  envelope: "CORRELATION_MODE_ENVELOPE",
  prefix: "CORRELATION_MODE_PREFIX",
  next: "CORRELATION_MODE_NEXT"
} as const)

const overflow = choice({
  pause: "OVERFLOW_PAUSE",
  "drop-oldest": "OVERFLOW_DROP_OLDEST",
  "drop-newest": "OVERFLOW_DROP_NEWEST"
} as const)

const status = choice({
  connecting: "CONNECTION_STATUS_CONNECTING",
  connected: "CONNECTION_STATUS_CONNECTED",
  reconnecting: "CONNECTION_STATUS_RECONNECTING",
  disconnected: "CONNECTION_STATUS_DISCONNECTED",
  failed: "CONNECTION_STATUS_FAILED"
} as const)

/** A connection, the way that was asked for. */
const show = (connection: M.Connection, json: boolean): Effect.Effect<void, OutputClosed, CliHost> =>
  print(json ? jsonLine({ connection }) : connectionBlock(connection))

const connectOptions = {
  topic: optionalText("topic", "T", "Publish every frame to this topic, from the first one on"),
  header: repeated("header", "K=V", keyValue, "A header of the opening request; V may be secret:NAME, or @FILE"),
  subprotocol: repeatedText("subprotocol", "P", "Offer this subprotocol; the order is the preference"),
  send: repeatedText(
    "send",
    "TEXT",
    "Send this text, or @FILE, or - from standard input, after every open, before anything else: login, subscribe"
  ),
  tag: repeated("tag", "K=V", keyValue, "A label, to find the connection by"),
  requestId: optionalText("request-id", "KEY", "The same key gives the same connection, however often it is asked"),
  noReconnect: flag("no-reconnect", "Do not dial again when the socket is lost"),
  noAwaitOpen: flag("no-await-open", "Answer at once and dial in the background, until it works"),
  compression: flag("compression", "Offer permessage-deflate"),
  packed: flag("packed", "Publish many frames in one event, for fast feeds"),
  textContentType: optionalText("text-content-type", "TYPE", "datacontenttype of text frames, else text/plain"),
  correlation: optional(
    "correlation",
    "MODE",
    correlation,
    "How replies are found: json-field (default), envelope, prefix, next"
  ),
  ping: optional("ping", "D", duration, "Protocol ping this often, else every 20 seconds"),
  deadAfter: optional("dead-after", "D", duration, "Lost when nothing at all came for this long, else 60 seconds"),
  idleAfter: optional(
    "idle-after",
    "D",
    duration,
    "Lost when no data came for this long, whatever the pongs say; else never"
  ),
  maxAttempts: optional("max-attempts", "N", integer(1, 0xffff_ffff), "Give up after this many dials, else never"),
  maxMessage: optional("max-message", "SIZE", size(1024 ** 3), "A larger frame closes the socket, else 16 MiB"),
  maxReply: optional("max-reply", "SIZE", size(1024 ** 3), "A larger frame is not looked into for a reply, else 1 MiB"),
  overflow: optional(
    "overflow",
    "RULE",
    overflow,
    "When the buffer is full: pause the peer (default), drop-oldest, drop-newest"
  )
}
type ConnectOptions = Command.Command.ParseConfig<typeof connectOptions>

/** `{ [name]: value }`, or nothing where there is no value: an absent field, not an undefined one. */
const field = <K extends string, V>(name: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined ? {} : ({ [name]: value } as { readonly [P in K]: V })

const group = <K extends string, V extends object>(name: K, value: V): { readonly [P in K]?: V } =>
  field(name, Object.keys(value).length === 0 ? undefined : value)

export const connectRequest = (url: string, o: ConnectOptions): ConnectRequest => ({
  url,
  headers: Object.fromEntries(o.header),
  subprotocols: o.subprotocol,
  handshake: o.send.map((text) => ({ sendText: encoder.encode(text) })),
  tags: Object.fromEntries(o.tag),
  autoReconnect: !o.noReconnect,
  awaitOpen: !o.noAwaitOpen,
  compression: o.compression,
  ...field("topic", o.topic),
  ...field("requestId", o.requestId),
  ...field("maxMessageBytes", o.maxMessage),
  ...field("maxReplyBytes", o.maxReply),
  ...group("publishing", {
    ...(o.packed ? { packing: "PACKING_PACKED" as const } : {}),
    ...field("textContentType", o.textContentType)
  }),
  ...group("correlation", field("mode", o.correlation)),
  ...group("keepAlive", {
    ...field("pingIntervalMs", o.ping),
    ...field("deadAfterMs", o.deadAfter),
    ...field("idleAfterMs", o.idleAfter)
  }),
  ...group("reconnect", field("maxAttempts", o.maxAttempts)),
  ...group("buffer", field("overflow", o.overflow))
})

/** The same with what stands in files: a header without the line break at its end, a message as it is. */
const fromFiles = (o: ConnectOptions) =>
  Effect.gen(function* () {
    const read = fileReader()
    const header = yield* Effect.forEach(o.header, ([name, value]) =>
      value.startsWith("@")
        ? Effect.map(read(value), (text) => [name, text.replace(/\r?\n$/, "")] as const)
        : Effect.succeed([name, value] as const)
    )
    return { ...o, header, send: yield* Effect.forEach(o.send, read) }
  })

const connect = Command.make(
  "connect",
  { url: argument("URL", "ws:// or wss://"), ...connectOptions, ...remote },
  ({ json, server, url, ...options }) =>
    Effect.flatMap(fromFiles(options), (given) =>
      withManager(server, (manager) =>
        Effect.gen(function* () {
          const answer = yield* manager.Connect(connectRequest(url, given))
          yield* print(json ? jsonLine(answer) : connectionBlock(answer.connection))
          yield* hint(`\nsee its frames with 'wsm tail ${answer.id}', end it with 'wsm disconnect ${answer.id}'`)
        })
      )
    )
).pipe(Command.withDescription("Open a connection and keep it"))

const ls = Command.make(
  "ls",
  {
    tag: repeated("tag", "K=V", keyValue, "Only those with this label; all that are given must hold"),
    status: repeated("status", "S", status, "Only those: connecting, connected, reconnecting, disconnected, failed"),
    topic: optionalText("topic", "T", "Only those that publish to this topic"),
    instance: optionalText("instance", "ID", "Only those of this instance"),
    url: optionalText("url", "PREFIX", "Only those whose URL begins so"),
    ...remote
  },
  ({ instance, json, server, status, tag, topic, url }) =>
    withManager(server, (manager) =>
      Effect.gen(function* () {
        const connections: Array<M.Connection> = []
        let pageToken = ""
        do {
          const page = yield* manager.List({
            filters: tag.map(([key, value]) => ({ key, value })),
            statuses: status,
            pageSize: 1000,
            pageToken,
            ...field("topic", topic),
            ...field("instanceId", instance),
            ...field("urlPrefix", url)
          })
          connections.push(...page.connections)
          pageToken = page.nextPageToken
        } while (pageToken !== "")
        if (json) return yield* print(jsonLine({ connections }))
        if (connections.length > 0) return yield* print(table(CONNECTION_HEADER, connections.map(connectionRow)))
        yield* hint("no connections; open one with 'wsm connect URL'")
      })
    )
).pipe(Command.withDescription("List the connections of the whole fleet"))

const get = Command.make("get", { id, ...remote }, ({ id, json, server }) =>
  withManager(server, (manager) => Effect.flatMap(manager.Get({ id }), ({ connection }) => show(connection, json)))
).pipe(Command.withDescription("Show one connection"))

const publish = Command.make(
  "publish",
  { id, topic: argument("TOPIC", "Where its frames go from now on"), ...remote },
  ({ id, json, server, topic }) =>
    withManager(server, (manager) =>
      Effect.flatMap(manager.StartPublish({ id, topic }), ({ connection }) => show(connection, json))
    )
).pipe(Command.withDescription("Publish the frames of a connection to a topic"))

const unpublish = Command.make("unpublish", { id, ...remote }, ({ id, json, server }) =>
  withManager(server, (manager) =>
    Effect.flatMap(manager.StopPublish({ id }), ({ connection }) => show(connection, json))
  )
).pipe(Command.withDescription("Stop publishing; the connection stays open"))

const reconnect = Command.make("reconnect", { id, ...remote }, ({ id, json, server }) =>
  withManager(server, (manager) =>
    Effect.flatMap(manager.Reconnect({ id }), ({ connection }) => show(connection, json))
  )
).pipe(Command.withDescription("Close the socket and dial again at once; also revives a failed one"))

const disconnect = Command.make(
  "disconnect",
  {
    id,
    code: optional("code", "N", integer(0, 65535), "The close code the peer gets, else 1000"),
    reason: optionalText("reason", "TEXT", "The reason the peer gets"),
    ...remote
  },
  ({ code, id, json, reason, server }) =>
    withManager(server, (manager) =>
      Effect.zipRight(
        manager.Disconnect({ id, ...field("code", code), ...field("reason", reason) }),
        json ? print("{}") : hint(`${id} is disconnected and gone`)
      )
    )
).pipe(Command.withDescription("Close a connection and forget it"))

export const connectionCommands = [connect, ls, get, publish, unpublish, reconnect, disconnect] as const
