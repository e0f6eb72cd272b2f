/** `dapr-components` as a user has it, in a folder where addresses of servers that a test started stand for its defaults. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { resource } from "../support/Components.js"
import { type SidecarOptions, startSidecar } from "../support/Sidecar.js"

export const ROOT = resolve(import.meta.dirname, "../..")

/** Text of a file of the project. */
export const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8")

/** Every YAML file below `dapr-components`, from there. */
export const yamlFiles = (): ReadonlyArray<string> =>
  (readdirSync(join(ROOT, "dapr-components"), { recursive: true }) as Array<string>).filter((name) =>
    name.endsWith(".yaml")
  )

/**
 * A copy of `dapr-components` in which each key of `places` (a default that the files document) is replaced by its value, and
 * the example of secrets is found from anywhere.
 */
export const deployed = (places: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "wsm-deploy-"))
      cpSync(join(ROOT, "dapr-components"), folder, { recursive: true })
      const all = { ...places, "dapr-components/secrets/": `${folder}/secrets/` }
      for (const name of readdirSync(folder, { recursive: true }) as Array<string>) {
        const path = join(folder, name)
        if (!statSync(path).isFile()) continue
        const text = Object.entries(all).reduce(
          (text, [from, to]) => text.replaceAll(from, to),
          readFileSync(path, "utf8")
        )
        writeFileSync(path, text)
      }
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

/** A sidecar as the README starts it: the folders by name, `dapr-components` itself first, and `config.yaml`. */
export const sidecarOn = (folder: string, names: ReadonlyArray<string>, options: SidecarOptions = {}) => {
  const folders = [folder, ...names.map((name) => join(folder, name))]
  const kinds = names.flatMap((name) =>
    readdirSync(join(folder, name)).map((file) => resource(readFileSync(join(folder, name, file), "utf8")))
  )
  return startSidecar({
    appId: "websocketmanager",
    config: readFileSync(join(folder, "config.yaml"), "utf8"),
    components: kinds.map(({ name }) => name),
    ...options,
    flags: [...folders.flatMap((path) => ["--resources-path", path]), ...(options.flags ?? [])]
  })
}
