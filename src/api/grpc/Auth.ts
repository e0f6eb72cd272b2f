/** The bearer token on the gRPC door: asked before a message is read, for every call but the health service's. */
import { createHash, timingSafeEqual } from "node:crypto"
import { ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js"
import * as Redacted from "effect/Redacted"
import { Unauthenticated } from "../../domain/Errors.js"
import { statusOfError } from "./Status.js"

const OPEN = "/grpc.health.v1.Health/"

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Digests have one length, so that the comparison tells nothing about the token, its length neither. */
const matcher = (token: Redacted.Redacted<string>): ((header: unknown) => boolean) => {
  const wanted = digest(Redacted.value(token))
  return (header) => {
    const sent = typeof header === "string" ? /^bearer +(.*)$/i.exec(header)?.[1] : undefined
    return sent !== undefined && timingSafeEqual(digest(sent), wanted)
  }
}

export const interceptor = (token: Redacted.Redacted<string>): ServerInterceptor => {
  const matches = matcher(token)
  return (method, call) =>
    new ServerInterceptingCall(
      call,
      method.path.startsWith(OPEN)
        ? undefined
        : {
            start: (next) =>
              next({
                onReceiveMetadata: (metadata, proceed) => {
                  if (matches(metadata.get("authorization")[0])) proceed(metadata)
                  else call.sendStatus(statusOfError(new Unauthenticated()))
                }
              })
          }
    )
}
