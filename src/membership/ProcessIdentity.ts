/**
 * What the kernel knows of this process, and whether the process of a record is gone. A host name and a pid alone prove
 * nothing (pid 1 of two containers): the boot id and the pid namespace must be ours too.
 */
import { readFileSync, readlinkSync } from "node:fs"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

export interface ProcessFacts {
  /** "" where the system does not tell; then no process is ever known to be gone */
  readonly bootId: string
  readonly pidNamespace: string
  readonly pid: number
  /** in clock ticks since the boot */
  readonly processStart: string
}

export class ProcessIdentity extends Context.Tag("websocketmanager/membership/ProcessIdentity")<
  ProcessIdentity,
  ProcessFacts & {
    /** Whether the process of this record is known to be gone: same boot, same namespace, and no such process runs. */
    readonly isGone: (process: ProcessFacts) => boolean
  }
>() {
  static readonly layer = Layer.sync(ProcessIdentity, () => make())
}

const attempt = (read: () => string): string => {
  try {
    return read().trim()
  } catch {
    return ""
  }
}

/** State letter and start time of a process, by /proc/<pid>/stat; undefined where it cannot be read. */
const stat = (pid: number | "self"): { readonly state: string; readonly start: string } | undefined => {
  const text = attempt(() => readFileSync(`/proc/${pid}/stat`, "latin1"))
  // the command name stands in parentheses and may hold anything
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, start] = [fields[0], fields[19]]
  return text === "" || state === undefined || start === undefined ? undefined : { state, start }
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

export const make = (): ProcessIdentity["Type"] => {
  const bootId = attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1"))
  const pidNamespace = attempt(() => readlinkSync("/proc/self/ns/pid"))
  const known = bootId !== "" && pidNamespace !== ""
  return {
    bootId,
    pidNamespace,
    pid: process.pid,
    processStart: stat("self")?.start ?? "",
    isGone: (other) => {
      if (!known || other.bootId !== bootId || other.pidNamespace !== pidNamespace) return false
      if (!Number.isSafeInteger(other.pid) || other.pid <= 0 || other.processStart === "") return false
      if (!exists(other.pid)) return true
      const found = stat(other.pid)
      if (found === undefined) return false
      // a zombie does not run, it only waits for its parent
      return found.start !== other.processStart || found.state === "Z" || found.state === "X"
    }
  }
}
