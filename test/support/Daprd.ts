/** The sidecar's binary: `DAPRD`, or built from `test/daprd` once for all. */
import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { find } from "./processes.js"

const BUILD = join(import.meta.dirname, "../daprd/build.mjs")

/** There is one, or one can be built. */
export const daprdAvailable = (): boolean =>
  spawnSync(process.execPath, [BUILD, "--cached"]).status === 0 || find("go", ["/usr/local/go/bin"]) !== undefined

let binary: Promise<string> | undefined

/** Where it is; built now if it has to be, which takes minutes and tells of itself on standard error. */
export const daprdBinary = (): Promise<string> => (binary ??= built())

const built = (): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BUILD], { stdio: ["ignore", "pipe", "inherit"] })
    let path = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (path += text))
    child.on("error", reject)
    child.on("close", (status) =>
      status === 0 ? resolve(path.trim()) : reject(new Error("no daprd: the lines of `npm run build:daprd` say why"))
    )
  })
