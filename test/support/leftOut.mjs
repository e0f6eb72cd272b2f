/** The last line of `npm test`: what it left out, and how to run that. */
import { readdirSync } from "node:fs"
import { resolve } from "node:path"

const TEST = resolve(import.meta.dirname, "..")

export const leftOut = () => {
  const files = readdirSync(TEST, { recursive: true }).filter((file) => file.endsWith(".test.ts"))
  const dapr = files.filter((file) => file.startsWith("dapr"))
  const model = files.filter((file) => file.startsWith("model"))
  const slow = files.filter(
    (file) => /^process.fleet|\.(?:process|fleet)\.test\.ts$/.test(file) && !file.startsWith("dapr")
  )
  return (
    `left out: ${slow.length} files that start processes or take long (npm run test:process), ` +
    `${dapr.length} that need a sidecar (npm run test:dapr), ${model.length} of the model (npm run test:model -- --quick)`
  )
}

export default class LeftOut {
  onFinished() {
    process.stdout.write(`${leftOut()}\n`)
  }
}
