/** The model, bundled for a process of its own, with the product's source edited on the way in. */
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Edit } from "./Mutations.js"

/** Beside the packages that a bundle asks for. */
export const FOLDER = join(import.meta.dirname, "../../node_modules/.cache/websocketmanager-model")

const SRC = join(import.meta.dirname, "../../src")

/** Fails where a piece of source that is to be replaced does not stand exactly once. */
export const bundle = async (outfile: string, edits: ReadonlyArray<Edit> = []): Promise<void> => {
  const left = new Set(edits)
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
            let contents = await readFile(path, "utf8")
            for (const edit of edits) {
              if (join(SRC, edit.file) !== path) continue
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
}
