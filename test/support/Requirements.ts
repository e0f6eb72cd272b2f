/**
 * Tests that need something of the machine. Where it is missing they are skipped, and one line of `npm run test:dapr` says
 * what to install; with `WSM_REQUIRE_ALL=1` they fail instead.
 */
import { beforeAll, describe } from "vitest"
import { requirement, type Tool } from "./tools.js"

/** `describe`, where all the tools are. */
export const requiring =
  (...tools: ReadonlyArray<Tool>) =>
  (name: string, body: () => void): void => {
    const missing = tools.map(requirement).filter(({ available }) => !available)
    if (missing.length === 0) return void describe(name, body)
    // optional on a user's machine; in CI nothing may be skipped
    if (process.env["WSM_REQUIRE_ALL"] !== "1") return void describe.skip(name, body)
    describe(name, () => {
      beforeAll(() => {
        throw new Error(missing.map(({ missing }) => missing).join("\n"))
      })
      body()
    })
  }
