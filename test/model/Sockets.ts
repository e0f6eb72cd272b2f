/** The sockets of a world: whose they are, and what their servers send, at leisure or as a flood. */
import type { MemorySocket } from "../../src/testing/MemorySockets.js"
import { LARGEST_FRAME } from "./Limits.js"
import type { Rng, VirtualTime } from "./VirtualTime.js"

const FRAME_EVERY = 1_300
const FLOOD_EVERY = 20
const FLOOD_FRAMES = 20
/** frames that wait at the server for who does not read: a network holds no more */
const HELD = 400

/** By the headers that every connection of a world asks for. */
export const whose = ({ target }: MemorySocket): { readonly id: string; readonly epoch: number } => ({
  id: target.headers["x-connection"] ?? "",
  epoch: Number(target.headers["x-epoch"])
})

interface Sent {
  /** tells the sockets of a run apart */
  readonly name: number
  readonly frames: Array<readonly [frame: string, at: number]>
}

/** The servers' side. */
export class Feed {
  private readonly sent = new Map<MemorySocket, Sent>()

  constructor(
    private readonly time: VirtualTime,
    private readonly rng: Rng
  ) {}

  /** A frame now and then, as long as it is open. */
  begin(socket: MemorySocket): void {
    this.sent.set(socket, { name: this.sent.size + 1, frames: [] })
    const next = () => {
      if (!socket.isOpen) return
      this.send(socket, 0)
      this.time.after(FRAME_EVERY, next)
    }
    this.time.after(this.rng.between(0, 50), next)
  }

  /** A thousand frames a second, some of them large, as long as `goesOn`. */
  flood(socket: MemorySocket, goesOn: () => boolean): void {
    const next = () => {
      if (!socket.isOpen || !goesOn()) return
      for (let i = 0; i < FLOOD_FRAMES && socket.unread < HELD; i++) {
        this.send(socket, this.rng.chance(0.3) ? this.rng.int(LARGEST_FRAME - 32) : 0)
      }
      this.time.after(FLOOD_EVERY, next)
    }
    next()
  }

  /** The names of the frames that were sent longer ago than that, milliseconds. */
  before(socket: MemorySocket, ms: number): ReadonlyArray<string> {
    const limit = this.time.now - ms
    return (this.sent.get(socket)?.frames ?? []).filter(([, at]) => at < limit).map(([frame]) => frame)
  }

  private send(socket: MemorySocket, padding: number): void {
    const { frames, name } = this.sent.get(socket)!
    const frame = `${name}:${frames.length + 1}`
    frames.push([frame, this.time.now])
    socket.send(padding > 0 ? `${frame} ${"x".repeat(padding)}` : frame)
  }
}
