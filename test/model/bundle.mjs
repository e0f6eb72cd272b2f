// The model as a script for a process of its own, with the product's source edited on the way in where that is asked for.
import { mkdirSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { build } from "esbuild"

/** Beside the packages that a script asks for. */
export const FOLDER = join(import.meta.dirname, "../../node_modules/.cache/websocketmanager-model")

const SRC = join(import.meta.dirname, "../../src")

/**
 * Fails where a piece of source that is to be replaced does not stand exactly once.
 *
 * @type {typeof import("./bundle.mjs").bundle}
 */
export const bundle = async (name, edits = []) => {
  const left = new Set(edits)
  const outfile = join(FOLDER, `${name}.mjs`)
  mkdirSync(FOLDER, { recursive: true })
  await build({
    entryPoints: [join(import.meta.dirname, "worker.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    outfile,
    sourcemap: true,
    logLevel: "silent",
    plugins: [
      {
        name: "edits",
        setup: (plugin) => {
          plugin.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
            const here = edits.filter(({ file }) => join(SRC, file) === path)
            if (here.length === 0) return undefined
            let contents = await readFile(path, "utf8")
            for (const edit of here) {
              if (contents.split(edit.text).length !== 2) {
                throw new Error(`${edit.file} does not hold this exactly once: ${edit.text}`)
              }
              contents = contents.replace(edit.text, () => edit.by)
              left.delete(edit)
            }
            return { contents, loader: "ts" }
          })
        }
      }
    ]
  })
  if (left.size > 0) throw new Error(`not part of the model: ${[...left].map(({ file }) => file).join()}`)
  return outfile
}
