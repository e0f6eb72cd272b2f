/**
 * Installs what `image:pack` packed: `npm run image:install -- PACKED FOLDER`. What the folder holds afterwards is all that
 * an instance needs: the package, its production dependencies and peers, and the health check.
 */
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"

const [packed, folder] = process.argv.slice(2)
if (packed === undefined || folder === undefined) throw new Error("usage: npm run image:install -- PACKED FOLDER")
const at = process.env.INIT_CWD ?? "."
const target = resolve(at, folder)
mkdirSync(target, { recursive: true })
for (const file of ["package.json", "package-lock.json", ".npmrc", "websocketmanager.tgz"]) {
  copyFileSync(join(resolve(at, packed), file), join(target, file))
}
copyFileSync(join(import.meta.dirname, "health.mjs"), join(target, "health.mjs"))

// No install scripts: what has native parts brings them built for the common platforms.
const installing = ["install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
execFileSync("npm", installing, { cwd: target, stdio: "inherit" })
// What it was installed from is not needed to run it.
rmSync(join(target, "websocketmanager.tgz"))
