/**
 * What stands in the state store for a connection: its record, or a tombstone that keeps the epoch.
 *
 * Unknown fields are kept on rewriting and an unknown `v` is refused, so that a newer version can read what we leave and
 * we never destroy what it wrote.
 */
import type { ConnectionStatus } from "./ConnectionStatus.js"
import type { Position } from "./ConnectionEvent.js"
import type { Spec } from "./Spec.js"

export interface ConnectionRecord {
  readonly id: string
  readonly spec: Spec
  /** of the request as first asked, tags and topic too: tells a repeated request_id from a different one */
  readonly specHash: string
  readonly owner: string
  readonly incarnation: string
  readonly epoch: number
  /** of the write: settles an unknown outcome */
  readonly nonce: string
  readonly status: ConnectionStatus
  readonly handover: { readonly id: string; readonly incarnation: string } | undefined
  readonly tags: Readonly<Record<string, string>>
  /** "": not publishing */
  readonly topic: string
  /** milliseconds since 1970, as all times here; ISO 8601 in the store */
  readonly createdAt: number
  readonly connectedAt: number | undefined
  readonly lastFrameAt: number | undefined
  readonly lastError: string
  readonly lastCloseCode: number
  /** the last (epoch, sequence) known published */
  readonly last: Position
  /** fields of a newer version, kept as they are */
  readonly unknown: Readonly<Record<string, unknown>>
}

export interface Tombstone {
  readonly id: string
  readonly tombstone: true
  readonly epoch: number
  readonly nonce: string
  readonly removedAt: number
  readonly unknown: Readonly<Record<string, unknown>>
}
