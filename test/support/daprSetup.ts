/** Once before the tests of the `dapr` project: says what is missing, and builds the sidecar. */
import { daprdBinary } from "./Daprd.js"
import { missingTools, requirement } from "./tools.js"

export default async (): Promise<void> => {
  for (const line of missingTools()) process.stdout.write(`${line}\n`)
  if (requirement("daprd").available) await daprdBinary()
}
