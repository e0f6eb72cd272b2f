/** The secret of a fleet over one data folder, made by the first instance: a process that may read the folder is of the fleet. */
import { randomBytes, randomUUID } from "node:crypto"
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { secure } from "./internal/PrivateFiles.js"

const NAME = "peer-secret"

/** Fails as the store of that folder would. */
export const read = (folder: string): string => {
  const path = join(folder, NAME)
  if (!existsSync(path)) make(path)
  secure(path)
  const secret = readFileSync(path, "utf8").trim()
  if (secret.length >= 32) return secret
  throw new StateStoreUnavailable({ reason: `${path} holds no secret: remove it, and restart all instances` })
}

/** Puts it back where its file was removed under a running instance: the next instance to start shall be of the same fleet. */
export const keep = (folder: string, secret: string): void => {
  const path = join(folder, NAME)
  if (!existsSync(path)) make(path, secret)
}

/** Makes the file whole from the first moment that it has its name, and only where there is none. */
const make = (path: string, secret = randomBytes(32).toString("base64url")): void => {
  const own = `${path}.${randomUUID()}`
  secure(own)
  try {
    writeFileSync(own, `${secret}\n`)
    linkSync(own, path)
  } catch (error) {
    if (existsSync(path)) return
    if (!HAS_NO_LINKS.has((error as NodeJS.ErrnoException).code ?? "")) throw error
    // two instances that come at the same moment may read half of it, and start again
    writeFileSync(path, `${secret}\n`, { flag: "wx", mode: 0o600 })
  } finally {
    unlinkSync(own)
  }
}

/** What file systems without hard links say. */
const HAS_NO_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])
