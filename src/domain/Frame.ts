/**
 * A frame on its way from a socket to a topic: one flat object, made once on arrival, never copied.
 *
 * What is the same for all frames of one connection under one owner stands in `FrameOrigin`, which they share.
 */

/** What all frames of one connection under one owner have in common. */
export interface FrameOrigin {
  /** the connection whose peer sent it */
  readonly connectionId: string
  /** without credentials */
  readonly connectionUrl: string
  /** the instance whose socket received it */
  readonly instanceId: string
  /** of the connection under that owner */
  readonly epoch: number
  /** datacontenttype of text frames */
  readonly textContentType: string
}

/** One message of a peer, as it goes to a topic. */
export class Frame {
  /** tells it from a pack and from a lifecycle event */
  readonly kind = "frame" as const
  constructor(
    readonly origin: FrameOrigin,
    /** of the frame within the epoch, from 1 */
    readonly sequence: number,
    /** arrival, milliseconds since 1970 */
    readonly receivedAt: number,
    readonly binary: boolean,
    /** the bytes as they came; of a text frame valid UTF-8 */
    readonly data: Buffer
  ) {}
}

/** Many frames of one connection in one event, in order; never empty, never changed after it was first sent. */
export class FramePack {
  /** tells it from a frame and from a lifecycle event */
  readonly kind = "frames" as const
  constructor(
    readonly origin: FrameOrigin,
    readonly frames: ReadonlyArray<Frame>
  ) {}
}

/** Content type of a text frame, unless the spec says another. */
export const TEXT_PLAIN = "text/plain"
/** Content type of a binary frame. */
export const OCTET_STREAM = "application/octet-stream"
