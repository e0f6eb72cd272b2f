import { defineConfig } from "vitest/config"

/**
 * Tests that start processes, compile or wait long for real time (`*.process.test.ts`), and those of fleets in one process
 * that take long (`*.fleet.test.ts`): `npm run test:process`.
 */
const PROCESS = ["test/**/*.process.test.ts", "test/**/*.fleet.test.ts"]

/** Three processes each, and load on all: one file after the other, when all else is done. */
const FLEETS = "test/process/fleet*.test.ts"
const DAPR_FLEETS = "test/dapr/fleet*.test.ts"

const shared = {
  testTimeout: 20_000,
  hookTimeout: 60_000,
  pool: "forks" as const,
  poolOptions: { forks: { isolate: false } }
}

const ONE_BY_ONE = { forks: { isolate: false, singleFork: true } }

export default defineConfig({
  test: {
    // How many workers there are, and that they outlive a file, is the root's to say.
    maxWorkers: 2,
    minWorkers: 2,
    // Nothing of ours lives at module level, so files may share a process: Effect is loaded once a worker.
    poolOptions: { forks: { isolate: false } },
    projects: [
      {
        test: {
          ...shared,
          name: "quick",
          include: ["test/**/*.test.ts"],
          exclude: [...PROCESS, FLEETS, "test/dapr/**", "test/model/**", "test/consumer/**", "**/node_modules/**"]
        }
      },
      { test: { ...shared, name: "process", include: PROCESS, testTimeout: 60_000 } },
      { test: { ...shared, name: "process-fleet", include: [FLEETS], poolOptions: ONE_BY_ONE } },
      // Managers in virtual time, and the protocol broken on purpose; more of the same: `npm run test:model`.
      { test: { ...shared, name: "model", include: ["test/model/*.test.ts"] } },
      // Real sidecars, stores and brokers (`npm run test:dapr`).
      {
        test: {
          ...shared,
          name: "dapr",
          include: ["test/dapr/**/*.test.ts"],
          exclude: [DAPR_FLEETS, "**/node_modules/**"],
          globalSetup: ["test/support/daprSetup.ts"],
          testTimeout: 120_000
        }
      },
      {
        test: {
          ...shared,
          name: "dapr-fleet",
          include: [DAPR_FLEETS],
          globalSetup: ["test/support/daprSetup.ts"],
          poolOptions: ONE_BY_ONE
        }
      }
    ]
  }
})
