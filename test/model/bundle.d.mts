import type { Edit } from "./Edits.js"

export declare const FOLDER: string

/** Bundles the model below `FOLDER`, under this name and with these edits; the path of the script. */
export declare const bundle: (name: string, edits?: ReadonlyArray<Edit>) => Promise<string>
