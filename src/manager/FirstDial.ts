/** The outcome of the first dial of a start: the caller that asked for that dial waits for it. */
import type { ConnectionNotOpen, DialFailed, TargetForbidden } from "../domain/Errors.js"
import type { Once } from "../domain/Once.js"

/** ConnectionNotOpen: the connection was removed, or dialled anew, before this dial came to an end. */
export type FirstDialFailure = DialFailed | TargetForbidden | ConnectionNotOpen

export type FirstDial = Once<void, FirstDialFailure>
