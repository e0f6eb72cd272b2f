/** What the `code` label says of an ended call: OK, the error's tag, Cancelled, or Defect. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ManagerError } from "../domain/Errors.js"

export const codeOf = (exit: Exit.Exit<unknown, ManagerError>): string => {
  if (Exit.isSuccess(exit)) return "OK"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return failure.value._tag
  return Cause.isInterruptedOnly(exit.cause) ? "Cancelled" : "Defect"
}
