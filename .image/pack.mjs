/**
 * Packs the package: `npm run image:pack -- FOLDER` builds it and puts `websocketmanager.tgz` there, with beside it what
 * `image:install` needs to install it: the versions that this project is tested with.
 */
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error("usage: npm run image:pack -- FOLDER")
const root = resolve(import.meta.dirname, "..")
const target = resolve(process.env.INIT_CWD ?? ".", folder)
mkdirSync(target, { recursive: true })

const packing = ["pack", "--json", "--silent", "--pack-destination", target]
const output = execFileSync("npm", packing, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })
const [{ filename }] = JSON.parse(output)
renameSync(join(target, filename), join(target, "websocketmanager.tgz"))

// A program that has the package and its peers, each peer in the version of our own lock, and nothing for development.
const ours = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const peers = Object.keys(ours.peerDependencies).map((name) => [name, ours.devDependencies[name]])
const program = {
  name: "websocketmanager-image",
  private: true,
  dependencies: { websocketmanager: "file:websocketmanager.tgz", ...Object.fromEntries(peers) },
  overrides: ours.overrides
}
writeFileSync(join(target, "package.json"), `${JSON.stringify(program, null, 2)}\n`)
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"))
delete lock.packages[""]
writeFileSync(join(target, "package-lock.json"), `${JSON.stringify({ ...lock, name: program.name }, null, 2)}\n`)
copyFileSync(join(root, ".npmrc"), join(target, ".npmrc"))
