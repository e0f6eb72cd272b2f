/**
 * The certificate of both doors, read when a door opens, when one of its files changes, and on SIGHUP. Sockets that are open stay
 * as they are. Files that do not fit are told of, and the certificate before them goes on.
 */
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { readFileSync, unwatchFile, watchFile } from "node:fs"
import { createSecureContext, type SecureContextOptions, type SecureVersion } from "node:tls"
import type { SettingsShape } from "../../config/SettingsShape.js"

type Files = Pick<SettingsShape, "tlsCert" | "tlsKey" | "tlsMinVersion">

/** With forward secrecy: a key that becomes known later opens nothing that was recorded before. */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305"
].join(":")

/** How often the files are looked at; a link that is turned to other files is seen too. */
const LOOK_MS = 1000
/** Both files are there a moment after the first has changed. */
const SETTLE_MS = 250

/** What a TLS server is made with. Throws where the files cannot be read or do not fit together. */
export const read = ({ tlsCert, tlsKey, tlsMinVersion }: Files): SecureContextOptions => {
  const options: SecureContextOptions = {
    cert: readFileSync(tlsCert),
    key: readFileSync(tlsKey),
    ciphers: CIPHERS,
    honorCipherOrder: true,
    minVersion: `TLSv${tlsMinVersion}` as SecureVersion
  }
  createSecureContext(options)
  return options
}

/** Hands what was read anew to a server, until the scope closes. */
export const follow = (
  files: Files,
  server: { readonly setSecureContext: (options: SecureContextOptions) => void },
  door: string
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = Runtime.runFork(yield* Effect.runtime<never>())
    let soon: NodeJS.Timeout | undefined
    const reload = () => {
      soon = undefined
      try {
        server.setSecureContext(read(files))
        run(Effect.logInfo(`the certificate of the ${door} door was read anew`))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        run(Effect.logWarning(`the new certificate of the ${door} door is not used, the one before goes on: ${reason}`))
      }
    }
    const later = () => (soon ??= setTimeout(reload, SETTLE_MS).unref())
    const changed = (now: { readonly mtimeMs: number; readonly ino: number }, before: typeof now) => {
      if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) later()
    }
    const paths = [files.tlsCert, files.tlsKey]
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        for (const path of paths) watchFile(path, { interval: LOOK_MS, persistent: false }, changed)
        process.on("SIGHUP", later)
      }),
      () =>
        Effect.sync(() => {
          clearTimeout(soon)
          for (const path of paths) unwatchFile(path, changed)
          process.off("SIGHUP", later)
        })
    )
  })
