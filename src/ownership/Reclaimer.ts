/**
 * Takes over what instances that have ended owned (architecture, section 2, Taking over): it emits claims, the manager
 * starts them.
 */
import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { Claimed } from "./ConnectionStore.js"

export class Reclaimer extends Context.Tag("websocketmanager/ownership/Reclaimer")<
  Reclaimer,
  {
    /**
     * What this instance takes over, under its present life. Run it while this life may take work: once what a former life
     * left is claimed, not while draining, and no longer than the life lasts. It does not end by itself. An interruption
     * leaves whatever is under way to whoever comes: no id leaves a page by it.
     */
    readonly claims: Stream.Stream<Claimed>
  }
>() {}
