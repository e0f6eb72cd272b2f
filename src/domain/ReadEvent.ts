/** A published event as a consumer gets it, in whichever of the usual forms, back into its parts. */

/** A text frame as a string, a binary one as its bytes. */
export type FrameData = string | Uint8Array

export type PublishedEvent =
  | {
      readonly kind: "frames"
      readonly connectionId: string
      readonly epoch: number
      readonly frames: ReadonlyArray<{
        readonly sequence: number
        /** milliseconds since 1970 */
        readonly receivedAt: number
        readonly data: FrameData
      }>
    }
  | {
      readonly kind: "gap"
      readonly connectionId: string
      readonly cause: string
      readonly last: { readonly epoch: number; readonly sequence: number }
      readonly first: { readonly epoch: number; readonly sequence: number }
      readonly lost: number | "unknown"
    }
  | { readonly kind: "lifecycle"; readonly name: string }

const PREFIX = "websocketmanager."

/**
 * Structured JSON (text or bytes), its object, or the object of Dapr's gRPC API, where attributes stand in `extensions` and
 * `data` is bytes. Undefined: no event of a manager. Throws on text that is no JSON.
 */
export const readEvent = (event: string | Uint8Array | object): PublishedEvent | undefined => {
  const given = typeof event === "string" || event instanceof Uint8Array ? parsed(event) : (event as Attributes)
  const type = given?.["type"]
  if (typeof type !== "string" || !type.startsWith(PREFIX)) return undefined
  const extensions = given!["extensions"]
  const attributes = typeof extensions === "object" && extensions !== null ? { ...given, ...extensions } : given!
  switch (type) {
    case "websocketmanager.frame":
      return frames(attributes, [
        {
          sequence: Number(attributes["sequence"]),
          receivedAt: Date.parse(text(attributes["time"])),
          data: dataOf(attributes)
        }
      ])
    case "websocketmanager.frames":
      return frames(attributes, itemsOf(attributes["data"]).map(itemOf))
    case "websocketmanager.gap":
      return {
        kind: "gap",
        connectionId: text(attributes["connectionid"]),
        cause: text(attributes["cause"]),
        last: { epoch: Number(attributes["lastepoch"]), sequence: Number(attributes["lastsequence"]) },
        first: { epoch: Number(attributes["firstepoch"]), sequence: Number(attributes["firstsequence"]) },
        lost: attributes["lost"] === "unknown" ? "unknown" : Number(attributes["lost"])
      }
    default:
      return { kind: "lifecycle", name: type.slice(PREFIX.length) }
  }
}

type Attributes = Readonly<Record<string, unknown>>
type Frames = Extract<PublishedEvent, { kind: "frames" }>

const frames = (attributes: Attributes, frames: Frames["frames"]): Frames => ({
  kind: "frames",
  connectionId: text(attributes["connectionid"]),
  epoch: Number(attributes["epoch"]),
  frames
})

/** A frame of another content type than text/plain stands in base64 too, and is text unless it is octets. */
const dataOf = (attributes: Attributes): FrameData => {
  const { data, data_base64: base64 } = attributes
  if (typeof data === "string") return data
  const bytes = typeof base64 === "string" ? Buffer.from(base64, "base64") : data instanceof Uint8Array ? data : EMPTY
  const contentType = attributes["datacontenttype"] ?? attributes["dataContentType"]
  return contentType === "application/octet-stream" ? bytes : utf8(bytes)
}

interface Item {
  readonly s: number
  readonly t: number
  readonly text?: string
  readonly base64?: string
}

const itemsOf = (data: unknown): ReadonlyArray<Item> => {
  if (typeof data === "string" || data instanceof Uint8Array) return parsed(data) as unknown as ReadonlyArray<Item>
  return Array.isArray(data) ? (data as ReadonlyArray<Item>) : []
}

const itemOf = ({ base64, s, t, text }: Item): Frames["frames"][number] => ({
  sequence: Number(s),
  receivedAt: Number(t),
  data: typeof text === "string" ? text : Buffer.from(base64 ?? "", "base64")
})

const EMPTY = new Uint8Array()
const text = (value: unknown): string => (typeof value === "string" ? value : "")
const utf8 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")
const parsed = (json: string | Uint8Array): Attributes | undefined => {
  const value: unknown = JSON.parse(typeof json === "string" ? json : utf8(json))
  return typeof value === "object" && value !== null ? (value as Attributes) : undefined
}
