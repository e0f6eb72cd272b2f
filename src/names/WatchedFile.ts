/**
 * A small file of the system, read again when it changes. It is looked at (one `stat`, no thread of the pool) each time it is
 * asked for; one that is away or cannot be read is as if it were empty.
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
    if (stamp !== this.stamp) {
      this.stamp = stamp
      this.value = this.parse(stamp === "" ? "" : this.read())
    }
    return this.value
  }

  private look(): string {
    const found = statSync(this.path, { throwIfNoEntry: false, bigint: true })
    return found?.isFile() ? `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}` : ""
  }

  private read(): string {
    try {
      return readFileSync(this.path, "utf8")
    } catch {
      return ""
    }
  }
}
