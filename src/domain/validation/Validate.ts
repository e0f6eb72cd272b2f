/**
 * From loose requests to checked values: pure, the same for every door. A refusal is `InvalidRequest` with the field named
 * as in the proto, in camelCase: `headers.Host`, `handshake[2].expect.jsonPath`, `reconnect.factor`.
 */
import * as Either from "effect/Either"
import { FEED } from "../Limits.js"
import type { ConnectRequest, ResolvedSpec, Spec } from "../Spec.js"
import { specTemplates } from "./SpecTemplates.js"
import { type Checked, enumeration, MAX_MESSAGE_BYTES, must, uint32 } from "./Check.js"
import { checkHandshake } from "./ValidateHandshake.js"
import {
  resolveBuffer,
  resolveCorrelation,
  resolveKeepAlive,
  resolvePublishing,
  resolveReconnect
} from "./ValidatePolicies.js"
import { checkRequestId, checkTags, checkTopic } from "./ValidateRequests.js"
import { checkHeaders, checkSubprotocols, checkUrl } from "./ValidateTarget.js"
import { checkTemplate } from "./ValidateTemplate.js"

export * from "./ValidateFleet.js"
export * from "./ValidateList.js"
export * from "./ValidatePolicies.js"
export * from "./ValidateRequests.js"

const LEASE_LOSS = {
  LEASE_LOSS_UNSPECIFIED: undefined,
  LEASE_LOSS_STOP: "stop",
  LEASE_LOSS_CONTINUE: "continue"
} as const
const HANDOVER = {
  HANDOVER_UNSPECIFIED: false,
  HANDOVER_BREAK_BEFORE_MAKE: false,
  HANDOVER_MAKE_BEFORE_BREAK: true
}

/** A spec with every rule checked and every default of the proto filled in. */
export const resolveSpec = (asked: ConnectRequest | Spec): Checked<ResolvedSpec> =>
  Either.gen(function* () {
    const address = yield* checkUrl(asked.url)
    const headers = yield* checkHeaders(asked.headers)
    const subprotocols = yield* checkSubprotocols(asked.subprotocols)
    const handshake = yield* checkHandshake(asked.handshake)
    const keepAlive = yield* resolveKeepAlive(asked.keepAlive)
    if (keepAlive.ping?.binary === false) {
      yield* checkTemplate("keepAlive.pingMessage", Buffer.from(keepAlive.ping.data).toString())
    }
    const maxMessageBytes = yield* uint32("maxMessageBytes", asked.maxMessageBytes, MAX_MESSAGE_BYTES)
    yield* must(maxMessageBytes <= MAX_MESSAGE_BYTES, "maxMessageBytes", `${maxMessageBytes} is over 16 MiB`)
    // the default stays what it is where messages are smaller: an absent field is the same in every spec
    const maxReplyBytes = yield* uint32("maxReplyBytes", asked.maxReplyBytes, FEED.REPLY_BYTES)
    yield* must(
      maxReplyBytes <= maxMessageBytes || asked.maxReplyBytes !== maxReplyBytes,
      "maxReplyBytes",
      `${maxReplyBytes} is above maxMessageBytes ${maxMessageBytes}`
    )
    return {
      ...address,
      templates: specTemplates({ url: address.url, headers, subprotocols, keepAlive }),
      autoReconnect: asked.autoReconnect ?? true,
      headers,
      subprotocols,
      handshake,
      keepAlive,
      reconnect: yield* resolveReconnect(asked.reconnect),
      buffer: yield* resolveBuffer(asked.buffer),
      correlation: yield* resolveCorrelation(asked.correlation),
      onLeaseLoss: yield* enumeration<ResolvedSpec["onLeaseLoss"]>(
        "onLeaseLoss",
        asked.onLeaseLoss,
        LEASE_LOSS,
        undefined
      ),
      makeBeforeBreak: yield* enumeration("handover", asked.handover, HANDOVER, false),
      maxMessageBytes,
      publishing: yield* resolvePublishing(asked.publishing),
      compression: asked.compression ?? false,
      maxReplyBytes
    }
  })

/** A Connect that may be carried out. */
export interface CheckedConnect {
  /** as asked, the fields of the spec alone: what the store keeps */
  readonly asked: Spec
  readonly spec: ResolvedSpec
  readonly tags: Readonly<Record<string, string>>
  /** "": not publishing yet */
  readonly topic: string
  readonly requestId: string | undefined
  readonly awaitOpen: boolean
}

export const checkConnect = (request: ConnectRequest): Checked<CheckedConnect> =>
  Either.gen(function* () {
    const { awaitOpen: _awaitOpen, requestId: _requestId, tags: _tags, topic: _topic, ...asked } = request
    return {
      asked,
      spec: yield* resolveSpec(request),
      tags: yield* checkTags(request.tags),
      topic: yield* checkTopic(request.topic ?? "", "allowed"),
      requestId: yield* checkRequestId(request.requestId),
      awaitOpen: request.awaitOpen ?? true
    }
  })
