/** What each part of the suite of all doors is given. */
import type { Door, DoorName, TestServer } from "../../support/Doors.js"
import type { ScriptedServer } from "../../support/ScriptedServer.js"

/** The id of no connection. */
export const NOBODY = "0195d7f2-6c1e-7b3a-9a54-3f1f6a2b7c10"

export interface DoorContext {
  readonly server: TestServer
  /** as `startPeer` makes it */
  readonly peers: ScriptedServer
  readonly door: Door
  /** One more server to dial, stopped after the test. */
  readonly peerLike: (...args: Parameters<typeof ScriptedServer.start>) => Promise<ScriptedServer>
}

/** Declares tests of one subject over the door of that name; what they run on is there once they run. */
export type Part = (name: DoorName, context: () => DoorContext) => void
