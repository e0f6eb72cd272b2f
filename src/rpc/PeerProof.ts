/**
 * How two instances show each other that they are of one fleet, before anything else is said at `/rpc/peers`. Neither sends
 * the secret. Each proves by an HMAC that it has it, over fresh nonces and the identities of both, and over the address
 * that was dialled. A recording is worth nothing later. A relay between two others is found out, unless it stands at the
 * very address that was meant.
 *
 *     listener → dialler   { nonce }
 *     dialler → listener   { nonce, id, incarnation, address, to, proofs }   a proof by each of its secrets
 *     listener → dialler   { id, incarnation, address, proof }               by the first secret that both have
 *
 * The dialler goes first, so that a stranger at the door learns nothing that a secret could be guessed by.
 */
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto"
import type { Duplex } from "node:stream"
import * as Context from "effect/Context"
import type { RawData } from "ws"
import { parseUuid } from "../common/Uuid.js"
import { isInstanceId, isPeerAddress } from "../domain/Peer.js"
import type { Peer } from "../ports/Peers.js"

/** The WebSocket subprotocol of this exchange and of what follows it: an instance of another version is told apart. */
export const PEER_SUBPROTOCOL = "websocketmanager.peer.1"

/** Of a fleet: one key, or two while the secret is being changed, that to be used first. */
export type Keys = ReadonlyArray<Uint8Array>

/** What this instance shows of itself, at both ends. */
export class PeerCredential extends Context.Tag("websocketmanager/api/rpc/PeerCredential")<
  PeerCredential,
  { readonly keys: Keys; readonly self: Pick<Peer, "id" | "address"> }
>() {}

const LABEL = "websocketmanager peers 1"
const NONCE = /^[A-Za-z0-9_-]{32}$/
const PROOF = /^[A-Za-z0-9_-]{43}$/
const MAX_KEYS = 2

/** The key that a secret of the fleet stands for. */
export const keyOf = (secret: string): Uint8Array => new Uint8Array(hkdfSync("sha256", secret, "", LABEL, 32))

/** 24 random bytes, as text. */
export const freshNonce = (): string => randomBytes(24).toString("base64url")

/** An incarnation is empty as long as there is none. */
export interface Opening {
  /** the dialler's */
  readonly nonce: string
  /** the instance that the dialler says it is */
  readonly peer: Peer
  /** the address that was dialled */
  readonly to: string
}

type Json = Readonly<Record<string, unknown>>

const objectOf = (text: string): Json => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? (value as Json) : {}
  } catch {
    return {}
  }
}

const isNonce = (value: unknown): value is string => typeof value === "string" && NONCE.test(value)
const isProof = (value: unknown): value is string => typeof value === "string" && PROOF.test(value)

const peerOf = ({ address, id, incarnation }: Json): Peer | undefined => {
  if (typeof id !== "string" || typeof address !== "string" || typeof incarnation !== "string") return undefined
  const known = incarnation === "" || parseUuid(incarnation) === incarnation
  return known && isInstanceId(id) && isPeerAddress(address) ? { id, incarnation, address } : undefined
}

/** Each part with its length, so that no two lists of parts read the same. */
const proof = (key: Uint8Array, by: "dialler" | "listener", parts: ReadonlyArray<string>): string => {
  const hmac = createHmac("sha256", key)
  for (const part of [LABEL, by, ...parts]) hmac.update(`${Buffer.byteLength(part)}:${part}`)
  return hmac.digest("base64url")
}
const equal = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

const dialled = (challenge: string, { nonce, peer, to }: Opening): ReadonlyArray<string> => [
  challenge,
  nonce,
  peer.id,
  peer.incarnation,
  peer.address,
  to
]
const answered = (challenge: string, opening: Opening, listener: Peer): ReadonlyArray<string> => [
  ...dialled(challenge, opening),
  listener.id,
  listener.incarnation,
  listener.address
]

const sameAddress = (a: string, b: string): boolean => new URL(a).origin === new URL(b).origin

// ------------------------------------------------------------ the listener's part

/** The listener's first message. */
export const challengeText = (nonce: string): string => JSON.stringify({ nonce })

/** The instance that has proved itself, and the answer to it; or why it has not, in words that any dialler may read. */
export type Verified = { readonly peer: Peer; readonly answer: string } | { readonly refused: string }

/** Judges an opening: the peer and the answer to it, or why it is refused. */
export const verifyDialler = (keys: Keys, self: Peer, challenge: string, text: string): Verified => {
  const { nonce, proofs, to, ...rest } = objectOf(text)
  const peer = peerOf(rest)
  const refused = (why: string) => ({ refused: why })
  if (peer === undefined || !isNonce(nonce) || typeof to !== "string" || !isPeerAddress(to)) return refused("no proof")
  if (!Array.isArray(proofs) || proofs.length > MAX_KEYS || !proofs.every(isProof)) return refused("no proof")
  const opening: Opening = { nonce, peer, to }
  const key = keys.find((one) => {
    const expected = proof(one, "dialler", dialled(challenge, opening))
    return proofs.some((shown: string) => equal(shown, expected))
  })
  if (key === undefined) return refused("WSM_PEER_SECRET must be the same on all instances")
  if (!sameAddress(to, self.address)) return refused("it was dialled by another address than its WSM_ADVERTISE_ADDRESS")
  return {
    peer,
    answer: JSON.stringify({ ...self, proof: proof(key, "listener", answered(challenge, opening, self)) })
  }
}

// ------------------------------------------------------------ the dialler's part

/** The answer to a challenge; undefined: it is none. */
export const openingText = (keys: Keys, opening: Opening, challenge: string): string | undefined => {
  const { nonce } = objectOf(challenge)
  if (!isNonce(nonce)) return undefined
  const { peer, to } = opening
  const proofs = keys.map((key) => proof(key, "dialler", dialled(nonce, opening)))
  return JSON.stringify({ ...peer, nonce: opening.nonce, to, proofs })
}

/** Whether the listener has the secret too, and is the instance that the dialler meant. */
export const verifyListener = (keys: Keys, opening: Opening, challenge: string, text: string): boolean => {
  const { proof: shown, ...rest } = objectOf(text)
  const { nonce } = objectOf(challenge)
  const listener = peerOf(rest)
  if (listener === undefined || !isProof(shown) || !isNonce(nonce)) return false
  if (!sameAddress(listener.address, opening.to)) return false
  return keys.some((key) => equal(proof(key, "listener", answered(nonce, opening, listener)), shown))
}

/** What arrives before a proof is bounded on the socket, before any of it is taken for a message. */
export const atMost = (socket: Duplex, bytes: number): (() => void) => {
  let left = bytes
  const count = (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) socket.destroy()
  }
  socket.on("data", count)
  return () => void socket.off("data", count)
}

/** A message of the exchange; a binary one is none. */
export const textOf = (data: RawData, binary: boolean): string => (binary ? "" : data.toString())
