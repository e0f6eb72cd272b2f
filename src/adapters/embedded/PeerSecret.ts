/** The secret of a fleet over one data folder, made by whoever comes first: who may read the folder is of the fleet. */
import { randomBytes, randomUUID } from "node:crypto"
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { StateStoreUnavailable } from "../../domain/Errors.js"
import { secure } from "./internal/files.js"

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

/** Whole from the first moment under its name, and never twice. */
const make = (path: string): void => {
  const own = `${path}.${randomUUID()}`
  secure(own)
  try {
    writeFileSync(own, `${randomBytes(32).toString("base64url")}\n`)
    linkSync(own, path)
  } catch (error) {
    if (!existsSync(path)) throw error
  } finally {
    unlinkSync(own)
  }
}
