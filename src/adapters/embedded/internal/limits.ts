import { ValueTooLarge } from "../../../ports/StateStore.js"

/** S10: far above our records (256 KiB at most) and pages, far below what would hold the event loop up. */
export const MAX_VALUE_BYTES = 1024 * 1024

/** The refusal of a value over the limit, or nothing. */
export const tooLarge = (key: string, value: string): ValueTooLarge | undefined => {
  if (value.length * 3 <= MAX_VALUE_BYTES) return undefined
  const bytes = Buffer.byteLength(value)
  return bytes <= MAX_VALUE_BYTES ? undefined : new ValueTooLarge({ key, bytes, limit: MAX_VALUE_BYTES })
}
