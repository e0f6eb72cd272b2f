/**
 * The one way in for what others call. Only through here do `ws`, timers and node run the callbacks for a connection, a
 * name or a topic.
 *
 * Without the guard, an exception in a callback ends the process, and with it every other connection. With it, the
 * exception ends only what the callback was for, and that owner is told. Nothing is made anew for each call.
 */
import type { EventEmitter } from "node:events"

/** The connection, name or topic that a callback is for. */
export interface Guarded {
  /** A callback threw: ends what it was for. Throws nothing itself. */
  faulted(defect: unknown): void
}

/** A callback that is safe to hand to other code: calls `f` on its owner. */
export const guard =
  <O extends Guarded, A, B, C>(owner: O, f: (this: O, a: A, b: B, c: C) => void) =>
  (a?: A, b?: B, c?: C): void => {
    try {
      // the caller passes the arguments of `f`
      f.call(owner, a as A, b as B, c as C)
    } catch (defect) {
      owner.faulted(defect)
    }
  }

/** Calls `f` now; an exception in it does not keep the callbacks after it from running. */
export const attempt = <O extends Guarded>(owner: O, f: (this: O) => void): void => {
  try {
    f.call(owner)
  } catch (defect) {
    owner.faulted(defect)
  }
}

/** Listens for as long as the emitter lives, or until what is returned is called. */
export const listenTo = <O extends Guarded, A, B, C>(
  emitter: EventEmitter,
  event: string,
  owner: O,
  f: (this: O, a: A, b: B, c: C) => void
): (() => void) => {
  const guarded = guard(owner, f)
  emitter.on(event, guarded)
  return () => emitter.off(event, guarded)
}

/** The same for what comes most often: the call stands in a place of its own, and is compiled for the one thing it calls. */
export const listenToMessages = (
  emitter: EventEmitter,
  owner: Guarded & { message(data: Buffer, binary: boolean): void }
): void => {
  emitter.on("message", (data: Buffer, binary: boolean) => {
    try {
      owner.message(data, binary)
    } catch (defect) {
      owner.faulted(defect)
    }
  })
}

/** Runs `f` after so many milliseconds; the returned function takes it back. Does not keep the process running. */
export const later = <O extends Guarded>(ms: number, owner: O, f: (this: O) => void): (() => void) => {
  const timer = setTimeout(guard(owner, f), ms)
  timer.unref()
  return () => clearTimeout(timer)
}

/** Runs `f` once what came in this turn of the event loop is handled. */
export const soon = <O extends Guarded>(owner: O, f: (this: O) => void): void => {
  setImmediate(guard(owner, f))
}

/** The books that are kept for all connections together: they reach one through `attempt` only, and throw nothing themselves. */
export const ALL: Guarded = {
  faulted: (defect) => {
    throw defect
  }
}

/** Runs `f`, which keeps such books, when this turn of the event loop ends. */
export const whenTurnEnds = (f: () => void): void => {
  setImmediate(f)
}

/** The same, once the present callback is done. */
export const whenCallbackEnds = (f: () => void): void => {
  queueMicrotask(f)
}

/** What was thrown, for the log and for callers: never its message, which may quote what was sent or received. */
export interface Defect {
  readonly name: string
  /** where it was thrown: the lines of the stack, innermost first */
  readonly trace: string
}

const FRAMES = 12

export const describe = (defect: unknown): Defect => {
  if (!(defect instanceof Error)) return { name: `a ${typeof defect} that was thrown`, trace: "" }
  const frames = (defect.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))
  return { name: defect.name, trace: frames.slice(0, FRAMES).join("\n") }
}
