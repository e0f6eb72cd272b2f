/** What callers asked for, and what they were answered: what must be up, or gone, in the end. */
import type { World } from "./World.js"

interface Operation {
  readonly kind: "connect" | "disconnect"
  readonly id: string
  readonly from: number
  to: number
  result: "ok" | "refused" | "unknown"
  /** the store was emptied after it began */
  forgotten?: true
}

export class Callers {
  private readonly operations: Array<Operation> = []

  constructor(private readonly world: World) {}

  begin(kind: Operation["kind"], id: string): Operation {
    const operation: Operation = { kind, id, from: this.world.time.now, to: Infinity, result: "unknown" }
    this.operations.push(operation)
    return operation
  }

  end(operation: Operation, result: Operation["result"]): void {
    if (operation.to !== Infinity) return
    operation.to = this.world.time.now
    operation.result = result
    this.world.log("answer", operation.kind, operation.id, result)
  }

  /** A Connect was answered, and no Disconnect came after it. */
  mustBeUp(id: string): boolean {
    const all = this.operations.filter((o) => o.id === id)
    return all.some(
      (o) =>
        o.kind === "connect" &&
        o.result === "ok" &&
        !all.some((d) => d.kind === "disconnect" && (d.to > o.from || d.result !== "ok") && d.forgotten !== true)
    )
  }

  /** A Disconnect was answered, and no Connect came after it. */
  mustBeDown(id: string): boolean {
    const all = this.operations.filter((o) => o.id === id)
    return all.some(
      (d) => d.kind === "disconnect" && d.result === "ok" && !all.some((o) => o.kind === "connect" && o.to > d.from)
    )
  }

  /** The store is about to forget everything: what callers were answered before binds nobody any more. */
  forgetAll(): void {
    for (const operation of this.operations) {
      operation.to = Math.min(operation.to, this.world.time.now)
      operation.result = "unknown"
      operation.forgotten = true
    }
  }

  ids(): ReadonlyArray<string> {
    return this.operations.map(({ id }) => id)
  }
}
