/** What must hold between settings, checked for environment, flags and options alike. */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import { isLoopback } from "../common/Hosts.js"
import type { SettingKey } from "./Catalogue.js"
import type { SettingsShape } from "./SettingsShape.js"

/** The least length of a token that strangers can try to guess. */
const TOKEN_CHARS = 16

export interface Relation {
  /** the setting that is blamed */
  readonly key: SettingKey
  /** the setting it does not fit, shown beside the rule */
  readonly other?: SettingKey
  /** as the end of "must …" */
  readonly rule: string
  readonly holds: (settings: SettingsShape, around: Around) => boolean
}

/** What rules ask for beside the settings. */
export interface Around {
  /** where secrets come from, as far as it is known at a start: the names of settings and variables */
  readonly secretsFrom: ReadonlyArray<string>
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
    key: "host",
    rule: "be loopback, or WSM_SECRET_HOSTS say where the secrets may go (*=* lets all of them go anywhere)",
    holds: (s, { secretsFrom }) => isLoopback(s.host) || s.secretHosts.size > 0 || secretsFrom.length === 0
  },
  {
    key: "peerTlsCa",
    rule: "be set together with WSM_PEER_PORT, WSM_TLS_CERT and WSM_TLS_KEY",
    holds: (s) => s.peerTlsCa === "" || (s.peerPort !== undefined && s.tlsCert !== "")
  },
  {
    key: "peerPort",
    other: "httpPort",
    rule: "be another port than",
    holds: (s) => s.peerPort === undefined || s.peerPort === 0 || s.peerPort !== s.httpPort
  },
  {
    key: "peerPort",
    other: "grpcPort",
    rule: "be another port than",
    holds: (s) => s.peerPort === undefined || s.peerPort === 0 || s.peerPort !== s.grpcPort
  },
  {
    key: "apiToken",
    rule: "have at least 16 characters where WSM_HOST is not loopback: a shorter one is soon guessed",
    holds: (s) => isLoopback(s.host) || s.apiToken === undefined || Redacted.value(s.apiToken).length >= TOKEN_CHARS
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
    key: "dialRatePerAddress",
    other: "dialRatePerHost",
    rule: "not be below",
    holds: (s) => s.dialRatePerAddress >= s.dialRatePerHost
  },
  {
    key: "dialRateTotal",
    other: "dialRatePerAddress",
    rule: "not be below",
    holds: (s) => s.dialRateTotal >= s.dialRatePerAddress
  },
  {
    key: "keepaliveMin",
    other: "keepaliveMax",
    rule: "not be above",
    holds: (s) => Duration.lessThanOrEqualTo(s.keepaliveMin, s.keepaliveMax)
  },
  {
    key: "advertiseAddress",
    rule: "be https, since instances on other hosts dial it (or WSM_INSECURE=true, if what they pass on may be read on the way)",
    holds: (s) => s.advertiseAddress === "" || inClear(s.advertiseAddress) === false || sameHost(s)
  },
  {
    key: "host",
    rule: "be loopback, or WSM_TLS_CERT and WSM_TLS_KEY be set, since instances on other hosts dial it (or WSM_INSECURE=true, if what they pass on may be read on the way)",
    holds: (s) => s.advertiseAddress !== "" || s.tlsCert !== "" || isLoopback(s.host) || sameHost(s)
  }
]

/** No link of this fleet leaves its host, or it may do so in clear text. */
const sameHost = ({ backing, insecure }: SettingsShape): boolean => backing === "embedded" || insecure

/** Whether what is dialled there could be read by others than this host. */
const inClear = (address: string): boolean => {
  const { hostname, protocol } = new URL(address)
  return protocol === "http:" && !isLoopback(hostname)
}
