/** What must hold between settings, checked for environment, flags and options alike. */
import { isIPv4 } from "node:net"
import * as Duration from "effect/Duration"
import type { SettingKey } from "./Catalogue.js"
import type { SettingsShape } from "./Settings.js"

export interface Relation {
  /** the setting that is blamed */
  readonly key: SettingKey
  /** the setting it does not fit, shown beside the rule */
  readonly other?: SettingKey
  /** as the end of "must …" */
  readonly rule: string
  readonly holds: (settings: SettingsShape) => boolean
}

export const RELATIONS: ReadonlyArray<Relation> = [
  {
    key: "heartbeatTtl",
    other: "heartbeatInterval",
    rule: "be at least three times",
    holds: (s) => Duration.toMillis(s.heartbeatTtl) >= 3 * Duration.toMillis(s.heartbeatInterval)
  },
  {
    key: "host",
    rule: "be loopback, or WSM_API_TOKEN be set (or WSM_INSECURE=true, if everyone may call)",
    holds: (s) => isLoopback(s.host) || s.apiToken !== undefined || s.insecure
  },
  {
    key: "tlsCert",
    rule: "be set together with WSM_TLS_KEY",
    holds: (s) => (s.tlsCert === "") === (s.tlsKey === "")
  },
  {
    key: "grpcPort",
    other: "httpPort",
    rule: "be another port than",
    holds: (s) => s.grpcPort === 0 || s.grpcPort !== s.httpPort
  },
  {
    key: "keepaliveMin",
    other: "keepaliveMax",
    rule: "not be above",
    holds: (s) => Duration.lessThanOrEqualTo(s.keepaliveMin, s.keepaliveMax)
  }
]

/** Whether a listen address is reachable from this host alone. */
export const isLoopback = (host: string): boolean => {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, "$1")
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."))
}
