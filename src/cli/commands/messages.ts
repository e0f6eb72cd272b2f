/** Commands on messages: send, tail, subscribe. */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import { OCTET_STREAM, TEXT_PLAIN } from "../../domain/Frame.js"
import { CliHost } from "../CliHost.js"
import { UsageError } from "../Failure.js"
import { frameJson, frameLine, publishedJson, publishedLines, replyJson, replyLine } from "../Format.js"
import { argument, flag, optional } from "../Parameters.js"
import { withManager } from "../RemoteManager.js"
import { duration } from "../Values.js"
import { correlation, id } from "./connections.js"
import { count, follow, hint, print, remote } from "./shared.js"

/** The message as bytes: TEXT itself, or `-` for standard input; in base64 where asked. */
const messageBytes = (text: string, base64: boolean) =>
  Effect.gen(function* () {
    const { stdin } = yield* CliHost
    const given = text === "-" ? yield* stdin : Buffer.from(text)
    if (!base64) return given
    const encoded = Buffer.from(given).toString("latin1").trim()
    const bytes = Buffer.from(encoded, "base64")
    return bytes.toString("base64").replace(/=+$/, "") === encoded.replace(/=+$/, "")
      ? bytes
      : yield* new UsageError({ line: "TEXT is no base64, and --base64 was given" })
  })

const send = Command.make(
  "send",
  {
    id,
    text: argument("TEXT", "The message; - reads it from standard input"),
    raw: flag("raw", "Do not wait for a reply"),
    timeout: optional("timeout", "D", duration, "Wait this long for the reply, else 10 seconds"),
    base64: flag("base64", "TEXT is base64, sent as a binary frame"),
    correlation: optional(
      "correlation",
      "MODE",
      correlation,
      "How the reply is found, if not as the connection says: json-field, envelope, prefix, next"
    ),
    ...remote
  },
  ({ base64, correlation, id, json, raw, server, text, timeout }) =>
    Effect.gen(function* () {
      const host = yield* CliHost
      const message = new Uint8Array(yield* messageBytes(text, base64))
      const request = { id, message, contentType: base64 ? OCTET_STREAM : TEXT_PLAIN }
      yield* withManager(server, (manager) =>
        Effect.gen(function* () {
          if (raw) {
            yield* manager.SendRaw(request)
            return yield* json ? print("{}") : hint("sent")
          }
          const reply = yield* manager.Send({
            ...request,
            ...(timeout === undefined ? {} : { timeoutMs: timeout }),
            ...(correlation === undefined ? {} : { correlation: { mode: correlation } })
          })
          if (json) return yield* print(replyJson(reply))
          if (host.terminal) return yield* print(replyLine(reply))
          // a program gets the reply byte for byte
          yield* host.write(reply.response)
          if (reply.contentType !== OCTET_STREAM) yield* host.write("\n")
        })
      )
    })
).pipe(Command.withDescription("Send a message and print the reply"))

const tail = Command.make("tail", { id, count, ...remote }, ({ count, id, json, server }) =>
  withManager(server, (manager) =>
    follow(manager.open("Receive", { id }), {
      count,
      json,
      toJson: frameJson,
      toLine: frameLine,
      what: `the frames of ${id}`,
      ended: `no more frames of ${id} will come: the connection is gone or the server stops`
    })
  )
).pipe(Command.withDescription("Follow the frames of a connection, until Ctrl-C"))

const subscribe = Command.make(
  "subscribe",
  { topic: argument("TOPIC", "A topic that connections publish to"), count, ...remote },
  ({ count, json, server, topic }) =>
    withManager(server, (manager) =>
      follow(manager.open("Subscribe", { topic }), {
        count,
        json,
        toJson: publishedJson,
        toLine: publishedLines,
        what: `the topic ${topic}`,
        ended: `no more events of ${topic} will come: the server stops`
      })
    )
).pipe(Command.withDescription("Follow a topic as it is published, until Ctrl-C"))

export const messageCommands = [send, tail, subscribe] as const
