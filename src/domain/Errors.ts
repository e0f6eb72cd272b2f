/**
 * Every tagged error a caller can meet: one name per decision that a caller can take.
 *
 * `ERROR_TABLE` is the only place that says which gRPC status and which HTTP status an error becomes.
 * All of them cross both wires, so their fields are plain values; a secret never stands in one.
 */
import * as Schema from "effect/Schema"

/** Represents a request that is malformed. Mend `field` and call again; nothing was changed. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  field: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.field === "" ? this.reason : `${this.field}: ${this.reason}`
  }
}

/** Represents a call without a token, or with a wrong one. Send `authorization: Bearer <WSM_API_TOKEN>`. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", {}) {
  override get message() {
    return "the API token is missing or wrong: send 'authorization: Bearer <WSM_API_TOKEN>'"
  }
}

/** Represents a call that the token's holder may not make. */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** Represents a target that the egress policy, or a secret's list of hosts, refuses. Ask the operator to allow it. */
export class TargetForbidden extends Schema.TaggedError<TargetForbidden>()("TargetForbidden", {
  host: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.host}: ${this.reason}`
  }
}

/** Represents an id that names no connection: never made, or disconnected. */
export class ConnectionNotFound extends Schema.TaggedError<ConnectionNotFound>()("ConnectionNotFound", {
  id: Schema.String
}) {
  override get message() {
    return `there is no connection ${this.id}`
  }
}

/** Represents a call that needs an open socket. Wait for `connected`, or call Reconnect. */
export class ConnectionNotOpen extends Schema.TaggedError<ConnectionNotOpen>()("ConnectionNotOpen", {
  id: Schema.String,
  status: Schema.String
}) {
  override get message() {
    return `connection ${this.id} is not open, it is ${this.status}`
  }
}

/** At which step a dial failed. */
export const DialFailureKind = Schema.Literal("dns", "refused", "timeout", "tls", "http", "handshake", "secret")
/** At which step a dial failed. */
export type DialFailureKind = typeof DialFailureKind.Type

/** Represents a first dial that failed while the caller waited for it; nothing was kept. `reason` says what the peer did. */
export class DialFailed extends Schema.TaggedError<DialFailed>()("DialFailed", {
  kind: DialFailureKind,
  httpStatus: Schema.optional(Schema.Number),
  reason: Schema.optional(Schema.String)
}) {
  override get message() {
    const status = this.httpStatus === undefined ? "" : ` ${this.httpStatus}`
    return `the dial failed (${this.kind}${status})${this.reason === undefined ? "" : `: ${this.reason}`}`
  }
}

/** Represents a Send whose reply did not come in time; the peer may have received the message. */
export class SendTimeout extends Schema.TaggedError<SendTimeout>()("SendTimeout", { id: Schema.String }) {
  override get message() {
    return `no reply in time on connection ${this.id}; the message may have been received`
  }
}

/** Represents a Send whose socket or owner went away first. `sent` tells whether repeating it is safe. */
export class SendAborted extends Schema.TaggedError<SendAborted>()("SendAborted", {
  id: Schema.String,
  sent: Schema.Literal("yes", "no", "unknown")
}) {
  override get message() {
    return `the socket of connection ${this.id} went away before the reply (sent: ${this.sent})`
  }
}

/** Represents a move without an instance to move to. Start another instance, or name a live one. */
export class NoTarget extends Schema.TaggedError<NoTarget>()("NoTarget", {
  id: Schema.String,
  target: Schema.optional(Schema.String)
}) {
  override get message() {
    return this.target === undefined
      ? `there is no other live instance to take connection ${this.id}`
      : `instance ${this.target} is not live and cannot take connection ${this.id}`
  }
}

/** Represents a feature that this backing or this door does not have. `reason` says where it is to be had. */
export class NotAvailable extends Schema.TaggedError<NotAvailable>()("NotAvailable", {
  feature: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.feature} is not available: ${this.reason}`
  }
}

/** Represents a full queue: the peer takes messages more slowly than they come. Slow down and repeat. */
export class BufferFull extends Schema.TaggedError<BufferFull>()("BufferFull", { what: Schema.String }) {
  override get message() {
    return `${this.what} is full; slow down and repeat`
  }
}

/** Represents a limit of this instance that is reached. Wait, ask another instance, or raise the setting. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", { quota: Schema.String }) {
  override get message() {
    return `the quota ${this.quota} is used up`
  }
}

/** Represents an instance that takes no new work. Ask another one. */
export class InstanceDraining extends Schema.TaggedError<InstanceDraining>()("InstanceDraining", {
  id: Schema.String
}) {
  override get message() {
    return `instance ${this.id} is draining; ask another instance`
  }
}

/** Represents an owner that did not answer and is not yet known to be dead. Not executed, unless `executed` says unknown. */
export class OwnerUnreachable extends Schema.TaggedError<OwnerUnreachable>()("OwnerUnreachable", {
  owner: Schema.String,
  executed: Schema.optional(Schema.Literal("unknown"))
}) {
  override get message() {
    return `instance ${this.owner}, which owns the connection, did not answer`
  }
}

/** Represents a state store that gave no answer. Nothing was changed, unless `outcome` says unknown. */
export class StateStoreUnavailable extends Schema.TaggedError<StateStoreUnavailable>()("StateStoreUnavailable", {
  outcome: Schema.optional(Schema.Literal("unknown")),
  reason: Schema.optional(Schema.String)
}) {
  override get message() {
    const what = this.outcome === undefined ? "nothing was changed" : "the outcome is unknown"
    return `the state store did not answer; ${what}${this.reason === undefined ? "" : ` (${this.reason})`}`
  }
}

/** Represents a broker that gave no answer. Nothing was published, unless `outcome` says unknown. */
export class PubSubUnavailable extends Schema.TaggedError<PubSubUnavailable>()("PubSubUnavailable", {
  outcome: Schema.optional(Schema.Literal("unknown")),
  reason: Schema.optional(Schema.String)
}) {
  override get message() {
    return `the broker did not answer${this.reason === undefined ? "" : ` (${this.reason})`}`
  }
}

/** Everything an operation can fail with, for the wire. */
export const ManagerError = Schema.Union(
  InvalidRequest,
  Unauthenticated,
  PermissionDenied,
  TargetForbidden,
  ConnectionNotFound,
  ConnectionNotOpen,
  DialFailed,
  SendTimeout,
  SendAborted,
  NoTarget,
  NotAvailable,
  BufferFull,
  QuotaExceeded,
  InstanceDraining,
  OwnerUnreachable,
  StateStoreUnavailable,
  PubSubUnavailable
)
export type ManagerError = typeof ManagerError.Type
/** The name of an error, as it stands on both wires. */
export type ErrorTag = ManagerError["_tag"]

/** gRPC status code (google.rpc.Code) and HTTP status of each tag. */
export const ERROR_TABLE: { readonly [Tag in ErrorTag]: { readonly grpc: number; readonly http: number } } = {
  InvalidRequest: { grpc: 3, http: 400 },
  Unauthenticated: { grpc: 16, http: 401 },
  PermissionDenied: { grpc: 7, http: 403 },
  TargetForbidden: { grpc: 7, http: 403 },
  ConnectionNotFound: { grpc: 5, http: 404 },
  ConnectionNotOpen: { grpc: 9, http: 409 },
  DialFailed: { grpc: 14, http: 502 },
  SendTimeout: { grpc: 4, http: 504 },
  SendAborted: { grpc: 10, http: 409 },
  NoTarget: { grpc: 9, http: 409 },
  NotAvailable: { grpc: 9, http: 409 },
  BufferFull: { grpc: 8, http: 429 },
  QuotaExceeded: { grpc: 8, http: 429 },
  InstanceDraining: { grpc: 14, http: 503 },
  OwnerUnreachable: { grpc: 14, http: 503 },
  StateStoreUnavailable: { grpc: 14, http: 503 },
  PubSubUnavailable: { grpc: 14, http: 503 }
}

/** The fields of an error as short strings: gRPC `ErrorInfo.metadata`, and the extra members of a problem document. */
export const errorFields = (error: ManagerError): Record<string, string> => {
  const fields: Record<string, string> = {}
  for (const [key, value] of Object.entries(error)) {
    if (key === "_tag" || key === "message" || key === "stack" || key === "cause" || key === "name") continue
    if (value === undefined || typeof value === "object" || typeof value === "function") continue
    fields[key] = cut(String(value))
  }
  return fields
}

/** At most 256 characters, for metadata and problem documents. */
export const cut = (text: string): string => (text.length <= 256 ? text : `${text.slice(0, 255)}…`)
