/**
 * One directed scenario for each line of "What goes wrong without it" (src/ownership/README.md, Invariants), and for the grossest ways to
 * break the protocol: random faults alone do not find these.
 */
import { BUFFER } from "./BufferScenarios.js"
import type { Scenario } from "./Directing.js"
import { EMPTY_STORE } from "./EmptyStoreScenarios.js"
import { LIARS } from "./LiarScenarios.js"
import { MEMBERSHIP } from "./MembershipScenarios.js"
import { MOVES } from "./MoveScenarios.js"
import { POISON } from "./PoisonScenarios.js"
import { STORE } from "./StoreScenarios.js"
import { TAKEOVER } from "./TakeoverScenarios.js"
import { WRITE } from "./WriteScenarios.js"

export const SCENARIOS: ReadonlyArray<Scenario> = [
  ...TAKEOVER,
  ...WRITE,
  ...MEMBERSHIP,
  ...STORE,
  ...EMPTY_STORE,
  ...BUFFER,
  ...MOVES,
  ...POISON,
  ...LIARS
]
