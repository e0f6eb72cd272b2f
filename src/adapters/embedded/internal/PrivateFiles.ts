/**
 * The files of the store, as the file system has them: this user's alone, and still the ones that were opened.
 *
 * Specs may hold credentials as literal values. Other users of this host might read a file, or put one in its place. Such a
 * file is mended where it belongs to this process's user, and refused where it does not.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  statSync
} from "node:fs"
import { dirname } from "node:path"
import { StateStoreUnavailable } from "../../../domain/Errors.js"

/** What SQLite puts beside its file. */
const BESIDE = ["-wal", "-shm", "-journal"]

const OTHERS_MAY_WRITE = 0o022
const STICKY = 0o1000
const OWNER_ONLY = 0o600

/** Which file a path leads to: another one under the same name has another identity. */
export type Identity = string

/** Makes the folder and the file where they are missing; answers with what a person should know of those that were there. */
export const secure = (path: string): ReadonlyArray<string> => {
  const folder = dirname(path)
  makeFolder(folder)
  const warnings = checkFolder(folder)
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, OWNER_ONLY))
  for (const name of [path, ...BESIDE.map((ending) => path + ending)]) {
    const warning = checkFile(name)
    if (warning !== undefined) warnings.push(warning)
  }
  return warnings
}

/** Undefined: there is none under this name. */
export const identityOf = (path: string): Identity | undefined => {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? undefined : `${found.dev}:${found.ino}`
}

export const sizeOf = (path: string): number => statSync(path).size

/** A new file for its owner alone. Fails where there is one of this name. */
export const createPrivate = (path: string): void => {
  const descriptor = openSync(path, "wx", OWNER_ONLY)
  try {
    if ((fstatSync(descriptor).mode & 0o077) !== 0) chmodSync(path, OWNER_ONLY)
  } finally {
    closeSync(descriptor)
  }
}

/** Step by step: Node's own recursive mkdir never returns where the file system says ENOENT to a new folder (/proc). */
const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if (!existsSync(folder)) throw error
  }
}

/** A volume's folder often belongs to another user and is open to a group: that is said, not refused. */
const checkFolder = (folder: string): Array<string> => {
  const { mode, uid } = statSync(folder)
  if ((mode & OTHERS_MAY_WRITE) === 0 || (mode & STICKY) !== 0) return []
  if (uid !== process.getuid?.()) {
    return [
      `others of this host may put files into ${folder}: give it to the user of this process ('chown', 'chmod 700')`
    ]
  }
  chmodSync(folder, mode & ~OTHERS_MAY_WRITE & 0o7777)
  return [`others of this host could put files into ${folder}: they no longer can ('chmod go-w')`]
}

const checkFile = (path: string): string | undefined => {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return undefined
  const refuse = (reason: string) => new StateStoreUnavailable({ reason: `${path} ${reason}` })
  if (found.isSymbolicLink())
    throw refuse("is a symbolic link: put the file itself there, or name its folder in WSM_DATA_DIR")
  if (!found.isFile()) throw refuse("is no file")
  const own = process.getuid?.()
  if (own !== undefined && found.uid !== own) {
    throw refuse(`belongs to user ${found.uid}, and this process is user ${own}: give it to the latter ('chown')`)
  }
  if ((found.mode & 0o077) === 0) return undefined
  chmodSync(path, OWNER_ONLY)
  return `others of this host could read ${path}, which may hold credentials: they no longer can ('chmod 600')`
}
