/**
 * Tokens on the gRPC door, asked before a message is read, for every call but those of health. Either token admits a call:
 * the bearer token, or the one by which a sidecar shows that a call comes through it.
 */
import type { IncomingHttpHeaders } from "node:http2"
import { ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js"
import type { SettingsShape } from "../../config/SettingsShape.js"
import { Unauthenticated } from "../../domain/Errors.js"
import { STRANGER } from "../../domain/Limits.js"
import { bearerToken, tokenMatcher } from "../../domain/secrets/TokenMatcher.js"
import { CALLBACKS } from "./AppHealth.js"
import { HEALTH } from "./GrpcHealth.js"
import { statusOfError } from "./Status.js"

/**
 * Health needs no token. What a sidecar asks of an application at its start needs none either: the answer is that there is
 * none of it.
 */
const OPEN = [HEALTH, CALLBACKS]
const isOpen = (path: string): boolean => OPEN.some((prefix) => path.startsWith(prefix))

type Tokens = Pick<SettingsShape, "apiToken" | "appApiToken">

type Shown = (header: "authorization" | "dapr-api-token") => string | undefined

/** One of the tokens that are set admits a call; where none is set, every call is admitted. */
const admits = ({ apiToken, appApiToken }: Tokens): ((shown: Shown) => boolean) => {
  if (apiToken === undefined && appApiToken === undefined) return () => true
  const ours = tokenMatcher(apiToken)
  const sidecars = tokenMatcher(appApiToken)
  return (shown) => ours(bearerToken(shown("authorization"))) || sidecars(shown("dapr-api-token"))
}

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

/**
 * Whether the call with these headers is a caller's. A call of a method that is open without a token is a stranger's, with
 * or without a token.
 */
export const callerOf = (tokens: Tokens): ((headers: IncomingHttpHeaders) => boolean) => {
  const admitted = admits(tokens)
  return (headers) => !isOpen(String(headers[":path"])) && admitted((header) => text(headers[header]))
}

/**
 * Refuses a call without a token before its message is read. A large message to a method that is open without a token is refused
 * by its first bytes. `refused` is told of calls without a token.
 */
export const interceptor = (
  tokens: Tokens,
  refused: (call: ServerInterceptingCallInterface) => void
): ServerInterceptor => {
  const admitted = admits(tokens)
  return (method, call) => {
    if (isOpen(method.path)) {
      bound(call)
      return new ServerInterceptingCall(call)
    }
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            if (admitted((header) => text(metadata.get(header)[0]))) return proceed(metadata)
            refused(call)
            call.sendStatus(statusOfError(new Unauthenticated()))
          }
        })
    })
  }
}

/**
 * grpc-js has one limit for all methods. This one call gets a limit of its own, for a message as it stands in the stream
 * and as inflated.
 */
const bound = (call: ServerInterceptingCallInterface): void => {
  const { decoder } = call as unknown as { readonly decoder: { maxReadMessageLength: number } }
  decoder.maxReadMessageLength = STRANGER.GRPC_HEALTH_MESSAGE_BYTES
  Object.assign(call, { maxReceiveMessageSize: STRANGER.GRPC_HEALTH_MESSAGE_BYTES })
}
