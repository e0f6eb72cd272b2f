/** Why an instance did not start, in one line that names the setting, its value and what it must be. */
import * as Cause from "effect/Cause"
import { createSecureContext } from "node:tls"
import { readFileSync } from "node:fs"
import { twinsOf } from "../adapters/secrets/LocalSecrets.js"
import { ListenFailed } from "../api/http/HttpListener.js"
import { SettingsError } from "../config/Load.js"
import type { SettingsShape } from "../config/SettingsShape.js"

/** The files that settings name, and the secrets of this host, looked at before anything is opened. */
export const checkFiles = (
  settings: SettingsShape,
  env: Readonly<Record<string, string | undefined>>
): SettingsError | undefined => checkTls(settings) ?? checkSecrets(settings, env)

const checkSecrets = ({ secretsDir }: SettingsShape, env: Readonly<Record<string, string | undefined>>) => {
  const { files, variables } = twinsOf({ dir: secretsDir, env })
  if (variables !== undefined) {
    const rule = `be given once: ${variables[0]} is the same secret`
    return new SettingsError({ setting: variables[1], value: "***", rule })
  }
  if (files === undefined) return undefined
  const rule = `hold each secret once: the files ${files[0]} and ${files[1]} are one`
  return new SettingsError({ setting: "WSM_SECRETS_DIR", value: secretsDir, rule })
}

const checkTls = ({ peerTlsCa, tlsCert, tlsKey }: SettingsShape): SettingsError | undefined => {
  if (tlsCert === "") return undefined
  const read = (setting: string, file: string): Buffer | SettingsError => {
    try {
      return readFileSync(file)
    } catch (error) {
      return new SettingsError({ setting, value: file, rule: `be a file that can be read: ${reasonOf(error)}` })
    }
  }
  const cert = read("WSM_TLS_CERT", tlsCert)
  if (cert instanceof SettingsError) return cert
  const key = read("WSM_TLS_KEY", tlsKey)
  if (key instanceof SettingsError) return key
  const ca = peerTlsCa === "" ? undefined : read("WSM_PEER_TLS_CA", peerTlsCa)
  if (ca instanceof SettingsError) return ca
  try {
    createSecureContext({ cert, key })
    return undefined
  } catch (error) {
    const rule = `be the PEM certificate to the key in WSM_TLS_KEY=${tlsKey}: ${reasonOf(error)}`
    return new SettingsError({ setting: "WSM_TLS_CERT", value: tlsCert, rule })
  }
}

/** One line for standard error. */
export const describe = (settings: SettingsShape, cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error) || error.message === "") return Cause.pretty(cause)
  const refused = (setting: string, value: string | number, rule: string) =>
    new SettingsError({ setting, value: String(value), rule: `${rule}: ${reasonOf(error)}` }).message
  switch ("_tag" in error ? error._tag : "") {
    case "ListenFailed":
      return isPort(error) && error instanceof ListenFailed
        ? refused(error.setting, error.port, "be a port that is free and may be opened")
        : refused("WSM_HOST", settings.host, "be an address of this machine")
    case "GrpcListenFailed":
      return isPort(error)
        ? refused("WSM_GRPC_PORT", settings.grpcPort, "be a port that is free and may be opened")
        : refused("WSM_HOST", settings.host, "be an address of this machine")
    case "StateStoreUnavailable":
      if (settings.backing === "dapr")
        return refused("WSM_STATE_STORE", settings.stateStore, "be a state store that answers")
      return refused("WSM_DATA_DIR", settings.dataDir, "be a folder where state can be kept")
    default:
      return error.message
  }
}

const isPort = (error: Error): boolean => /EADDRINUSE|EACCES|in use|may not open/.test(error.message)

const reasonOf = (error: unknown): string => {
  if (typeof error === "object" && error !== null && "reason" in error) return String(error.reason)
  return error instanceof Error ? error.message : String(error)
}
