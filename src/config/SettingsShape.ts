/** The settings of one instance, as values. */
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type { SecretHosts } from "../domain/secrets/SecretHosts.js"

export interface SettingsShape {
  readonly backing: "embedded" | "dapr"
  /** "" keeps everything in memory */
  readonly dataDir: string
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  /** "" chooses one: the host name (dapr), `<host name>-<HTTP port>` (embedded), random with port 0 */
  readonly instanceId: string
  /** "" derives it from the host and the port really bound */
  readonly advertiseAddress: string
  readonly tlsCert: string
  readonly tlsKey: string
  readonly tlsMinVersion: "1.2" | "1.3"
  readonly apiToken: Redacted.Redacted<string> | undefined
  /** one, or two separated by a comma; undefined: it follows from the data folder or the token */
  readonly peerSecret: Redacted.Redacted<string> | undefined
  /** undefined: peers are served on the HTTP port */
  readonly peerPort: number | undefined
  /** "": peers show no certificates */
  readonly peerTlsCa: string
  readonly insecure: boolean
  readonly egress: "public" | "any"
  readonly egressAllow: ReadonlyArray<string>
  readonly egressDeny: ReadonlyArray<string>
  /** prefixes of NAT64 gateways */
  readonly egressNat64: ReadonlyArray<string>
  /** addresses, with ports; `system` alone is the system's own resolver; none: the servers of the system */
  readonly dnsServers: ReadonlyArray<string>
  readonly stateStore: string
  readonly pubsub: string
  readonly daprHost: string
  readonly daprHttpPort: number
  readonly daprGrpcPort: number
  readonly daprApiToken: Redacted.Redacted<string> | undefined
  readonly appApiToken: Redacted.Redacted<string> | undefined
  readonly daprWait: Duration.Duration
  readonly allowUntestedStore: boolean
  /** "": events are not published */
  readonly lifecycleTopic: string
  /** patterns of the topics that callers may publish to; `*` in one stands for any characters */
  readonly topics: ReadonlyArray<string>
  readonly heartbeatInterval: Duration.Duration
  readonly heartbeatTtl: Duration.Duration
  readonly reclaimInterval: Duration.Duration
  /** claims per second */
  readonly claimRate: number
  readonly crashDetection: "refused" | "off"
  readonly secretsDir: string
  readonly secretStore: string
  /** secret name -> where it may go; one that is not listed goes nowhere once anything is */
  readonly secretHosts: SecretHosts
  readonly onLeaseLoss: "stop" | "continue"
  /** dials per second and host, for the whole fleet */
  readonly dialRatePerHost: number
  /** the same to one address or network, whatever the names and ports */
  readonly dialRatePerAddress: number
  /** the same to all of them together */
  readonly dialRateTotal: number
  readonly drainMode: "migrate" | "wait"
  readonly drainTimeout: Duration.Duration
  readonly maxConnections: number
  readonly bufferMaxBytes: number
  readonly publishMaxBytes: number
  readonly publishBatch: number
  readonly publishLinger: Duration.Duration
  readonly keepaliveUrl: string
  readonly keepaliveMin: Duration.Duration
  readonly keepaliveMax: Duration.Duration
  readonly logLevel: "trace" | "debug" | "info" | "warning" | "error" | "none"
  readonly logFormat: "pretty" | "json"
}
