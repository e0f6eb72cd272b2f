/**
 * The compiled project, for tests that start real processes: `src` built once for the state it is in.
 *
 * It lies under `node_modules/.cache`, so that its imports find their packages. Test files that ask at the same time build
 * side by side and the first one to finish wins: the place is named after the content, and a rename is atomic.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const ROOT = resolve(import.meta.dirname, "../..")
const CACHE = join(ROOT, "node_modules/.cache/wsm-test-dist")
const OLD_MS = 60 * 60 * 1000

/** The absolute path of the compiled `src`; `package.json` and `proto` lie beside it, as in the package. */
export const builtDist = async (): Promise<string> => {
  const place = join(CACHE, contentHash())
  if (!existsSync(place)) await build(place)
  return join(place, "dist")
}

const build = async (place: string): Promise<void> => {
  const draft = `${place}.${process.pid}.${Math.random().toString(36).slice(2)}`
  mkdirSync(draft, { recursive: true })
  for (const name of ["package.json", "proto"]) cpSync(join(ROOT, name), join(draft, name), { recursive: true })
  // Types are checked by `npm run check`; here, as in vitest, only the code that comes out matters.
  await promisify(execFile)(
    process.execPath,
    [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json", "--outDir", join(draft, "dist")],
    { cwd: ROOT }
  ).catch((error: unknown) => {
    if (!existsSync(join(draft, "dist/main.js")) && !existsSync(join(draft, "dist/domain"))) throw error
  })
  try {
    renameSync(draft, place)
  } catch {
    rmSync(draft, { recursive: true, force: true })
  }
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat !== undefined && Date.now() - stat.mtimeMs > OLD_MS) rmSync(path, { recursive: true, force: true })
  }
}

const contentHash = (): string => {
  const hash = createHash("sha256")
  const files = (readdirSync(join(ROOT, "src"), { recursive: true }) as Array<string>).map((name) => join("src", name))
  for (const file of [...files.toSorted(), "package.json", "tsconfig.json", "tsconfig.build.json"]) {
    if (statSync(join(ROOT, file)).isFile())
      hash
        .update(file)
        .update("\0")
        .update(readFileSync(join(ROOT, file)))
  }
  return hash.digest("hex").slice(0, 16)
}
