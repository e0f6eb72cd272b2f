/**
 * Tokens on the gRPC door, asked before a message is read, for every call but those of health: the bearer token, or the one by
 * which a sidecar shows that a call comes through it.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js"
import * as Redacted from "effect/Redacted"
import type { SettingsShape } from "../../config/Settings.js"
import { Unauthenticated } from "../../domain/Errors.js"
import { CALLBACKS } from "./AppHealth.js"
import { statusOfError } from "./Status.js"

/** Health needs no token; and what a sidecar asks of an application at its start gets the answer that there is none of it. */
const OPEN = ["/grpc.health.v1.Health/", CALLBACKS]

type Tokens = Pick<SettingsShape, "apiToken" | "appApiToken">

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Digests have one length, so that the comparison tells nothing about the token, its length neither. */
const matcher = (token: Redacted.Redacted<string> | undefined): ((sent: string | undefined) => boolean) => {
  if (token === undefined) return () => false
  const wanted = digest(Redacted.value(token))
  return (sent) => sent !== undefined && timingSafeEqual(digest(sent), wanted)
}

const admits = ({ apiToken, appApiToken }: Tokens): ((metadata: Metadata) => boolean) => {
  const ours = matcher(apiToken)
  const sidecars = matcher(appApiToken)
  return (metadata) =>
    ours(/^bearer +(.*)$/i.exec(first(metadata, "authorization") ?? "")?.[1]) ||
    sidecars(first(metadata, "dapr-api-token"))
}

const first = (metadata: Metadata, key: string): string | undefined => {
  const [value] = metadata.get(key)
  return typeof value === "string" ? value : undefined
}

/** One of the tokens that are set admits a call; undefined: none is set, and every call is admitted. */
export const interceptor = (tokens: Tokens): ServerInterceptor | undefined => {
  if (tokens.apiToken === undefined && tokens.appApiToken === undefined) return undefined
  const admitted = admits(tokens)
  return (method, call) =>
    new ServerInterceptingCall(
      call,
      OPEN.some((prefix) => method.path.startsWith(prefix))
        ? undefined
        : {
            start: (next) =>
              next({
                onReceiveMetadata: (metadata, proceed) => {
                  if (admitted(metadata)) proceed(metadata)
                  else call.sendStatus(statusOfError(new Unauthenticated()))
                }
              })
          }
    )
}
