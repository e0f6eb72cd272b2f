/**
 * A frame on its way from a socket to a topic: one flat object, made once on arrival, never copied.
 *
 * What is the same for all frames of one connection under one owner stands in `FrameOrigin`, which they share.
 */

export interface FrameOrigin {
  readonly connectionId: string
  /** without credentials */
  readonly connectionUrl: string
  readonly instanceId: string
  readonly epoch: number
  /** datacontenttype of text frames */
  readonly textContentType: string
}

export class Frame {
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
  readonly kind = "frames" as const
  constructor(
    readonly origin: FrameOrigin,
    readonly frames: ReadonlyArray<Frame>
  ) {}
}

export const TEXT_PLAIN = "text/plain"
export const OCTET_STREAM = "application/octet-stream"
