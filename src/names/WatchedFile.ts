/**
 * A small file of the system, read again when it changes. It is looked at (one `stat`, no thread of the pool) each time it
 * is asked for; one that is away is as if it were empty. A file that cannot be read just now, for want of a descriptor,
 * stays as it was read last, and is tried again each time.
 */
import { readFileSync, statSync } from "node:fs"

export class WatchedFile<A> {
  private stamp = "never read"
  private value: A

  constructor(
    private readonly path: string,
    private readonly parse: (text: string) => A
  ) {
    this.value = parse("")
  }

  get(): A {
    const stamp = this.look()
    if (stamp === this.stamp) return this.value
    const text = stamp === "" ? "" : this.read()
    if (text !== undefined) {
      this.stamp = stamp
      this.value = this.parse(text)
    }
    return this.value
  }

  private look(): string {
    try {
      const found = statSync(this.path, { throwIfNoEntry: false, bigint: true })
      return found?.isFile() ? `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}` : ""
    } catch {
      // its folder may not be entered
      return ""
    }
  }

  private read(): string | undefined {
    try {
      return readFileSync(this.path, "utf8")
    } catch {
      return undefined
    }
  }
}
