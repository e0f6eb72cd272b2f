/** What a command that failed says on standard error: the tag, what happened, and what to do. */
import * as Data from "effect/Data"
import type { ErrorTag, ManagerError } from "../domain/Errors.js"
import { plain } from "./Text.js"

/** Represents a command that failed for a reason of its own. `line` is what the person reads. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{ readonly line: string }> {}

/** Represents a command that said itself why it ended, and with which exit status. */
export class Ended extends Data.TaggedError("Ended")<{ readonly status: number }> {}

/** Represents a command line that cannot be read: exit status 2. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly line: string }> {}

const ADVICE: { readonly [Tag in ErrorTag]: string } = {
  InvalidRequest: "mend it and try again; nothing was changed",
  Unauthenticated: "set WSM_API_TOKEN, or WSM_API_TOKEN_FILE, to the token of the server",
  PermissionDenied: "ask whoever runs the server",
  TargetForbidden: "whoever runs the server may allow it with WSM_EGRESS_ALLOW, or WSM_SECRET_HOSTS for a secret",
  ConnectionNotFound: "see what is there with 'wsm ls'",
  ConnectionNotOpen: "wait for it with 'wsm events', or dial now with 'wsm reconnect ID'",
  DialFailed: "nothing was kept; check the URL, or keep dialling with '--no-await-open'",
  SendTimeout: "give it longer with '--timeout', or do not wait with '--raw'",
  SendAborted: "look at it with 'wsm get ID' before sending again",
  NoTarget: "see who is there with 'wsm instances'",
  NotAvailable: "see the README for what this backing offers",
  BufferFull: "wait a little and send again",
  QuotaExceeded: "wait, ask another instance, or raise the setting",
  InstanceDraining: "name it with '--server'",
  OwnerUnreachable: "try again in a few seconds: its connections are taken over if it is dead",
  StateStoreUnavailable: "try again when the state store answers",
  PubSubUnavailable: "try again when the broker answers"
}

/** The line for an error of the manager. */
export const describe = (error: ManagerError): string => `${error._tag}: ${plain(error.message)}; ${ADVICE[error._tag]}`
