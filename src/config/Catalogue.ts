/**
 * Every setting, as data: its name in the environment (the flag follows from it), what it may be, its default, and its text
 * for operators. The text gives the unit, what raising it buys and what that costs. Environment, flags, `--help`,
 * `check-config` and the README's table all read this.
 */
import * as Duration from "effect/Duration"
import { redactUrl } from "../domain/secrets/Redact.js"
import * as Kinds from "./Kinds.js"
import type { SettingsShape } from "./SettingsShape.js"

export interface Entry<A> {
  readonly env: string
  readonly kind: Kinds.Kind<NonNullable<A>>
  readonly standard: A
  /** where the default follows from something else */
  readonly standardText?: string
  /** an empty text is a value of its own, not "as if it were not set" */
  readonly emptyIsValue?: true
  readonly text: string
}

export type Catalogue = { readonly [K in keyof SettingsShape]: Entry<SettingsShape[K]> }

const MIB = 1024 * 1024
const name = Kinds.text("a name without spaces or control characters", /^[^\s\p{Cc}]+$/u)
const path = Kinds.text("a path without control characters", /^[^\p{Cc}]*$/u)
const port = Kinds.whole("a port", 0, 65_535)

export const CATALOGUE: Catalogue = {
  backing: {
    env: "WSM_BACKING",
    kind: Kinds.oneOf("embedded", "dapr"),
    standard: "embedded",
    text: "Where state and events live: `embedded` in files of this host, `dapr` behind a Dapr sidecar."
  },
  dataDir: {
    env: "WSM_DATA_DIR",
    kind: path,
    standard: ".wsm",
    emptyIsValue: true,
    text: "Embedded: the folder of the state. Processes of one host that share it are one fleet. Empty keeps everything in memory, and a restart forgets it."
  },
  host: {
    env: "WSM_HOST",
    kind: Kinds.host,
    standard: "127.0.0.1",
    text: "The address both ports listen on. Anything but loopback needs `WSM_API_TOKEN`."
  },
  httpPort: {
    env: "WSM_HTTP_PORT",
    kind: port,
    standard: 5001,
    text: "RPC, health and metrics. 0 takes any free port and prints it."
  },
  grpcPort: {
    env: "WSM_GRPC_PORT",
    kind: port,
    standard: 5002,
    text: "gRPC. 0 takes any free port and prints it."
  },
  instanceId: {
    env: "WSM_INSTANCE_ID",
    kind: Kinds.text("1 to 128 of A-Z a-z 0-9 . - _, not beginning with _", /^(?:(?!_)[A-Za-z0-9._-]{1,128})?$/),
    standard: "",
    standardText: "Dapr: the host name; embedded: `<host name>-<HTTP port>`, random with port 0",
    text: "The name of this instance, the same after a restart: by it an instance finds its own connections again. Two live instances must not share one."
  },
  advertiseAddress: {
    env: "WSM_ADVERTISE_ADDRESS",
    kind: Kinds.peerAddress(redactUrl),
    standard: "",
    standardText: "from `WSM_HOST` and the port really bound",
    text: "Where the other instances forward calls to. It must reach this very process, never a load balancer."
  },
  tlsCert: {
    env: "WSM_TLS_CERT",
    kind: path,
    standard: "",
    text: "File of the certificate (PEM); with it and `WSM_TLS_KEY` both ports speak TLS."
  },
  tlsKey: {
    env: "WSM_TLS_KEY",
    kind: path,
    standard: "",
    text: "File of the private key (PEM). Both files are read anew when they change, and on SIGHUP; no socket is dropped."
  },
  tlsMinVersion: {
    env: "WSM_TLS_MIN_VERSION",
    kind: Kinds.oneOf("1.2", "1.3"),
    standard: "1.2",
    text: "The oldest version of TLS that both ports speak."
  },
  apiToken: {
    env: "WSM_API_TOKEN",
    kind: Kinds.secret,
    standard: undefined,
    text: "Bearer token that every call must carry. Required when `WSM_HOST` is not loopback, with at least 16 characters, unless `WSM_INSECURE=true`."
  },
  peerSecret: {
    env: "WSM_PEER_SECRET",
    kind: Kinds.changingSecret,
    standard: undefined,
    standardText: "embedded: a file of the data folder; Dapr: follows from `WSM_API_TOKEN`",
    text: "What the instances of a fleet prove to each other that they have; it is never sent. `new,old` accepts both for as long as it is being changed."
  },
  peerPort: {
    env: "WSM_PEER_PORT",
    kind: port,
    standard: undefined,
    standardText: "the HTTP port",
    text: "A port of its own for the other instances (`/rpc/peers`), so that a network policy can name it; the advertised address uses it. 0 takes any free port."
  },
  peerTlsCa: {
    env: "WSM_PEER_TLS_CA",
    kind: path,
    standard: "",
    text: "File of the authority (PEM) that must vouch for the certificate of every peer, whoever dials: `WSM_TLS_CERT` is shown, for server and client. Needs `WSM_PEER_PORT` and `WSM_TLS_CERT`."
  },
  insecure: {
    env: "WSM_INSECURE",
    kind: Kinds.flag,
    standard: false,
    text: "Waives two checks of the start. Without a token it may listen on other addresses than loopback: whoever reaches the port may open sockets from here. And with Dapr, instances may dial each other with `http` between hosts: what they pass on can be read on the way, token and secret are not sent. A token that is set is asked for all the same."
  },
  egress: {
    env: "WSM_EGRESS",
    kind: Kinds.oneOf("public", "any"),
    standard: "public",
    standardText: "`public`, or `any` while listening on loopback",
    text: "Where sockets may go. `public` refuses loopback, private, link-local, multicast and metadata addresses, as resolved, at each dial."
  },
  egressAllow: {
    env: "WSM_EGRESS_ALLOW",
    kind: Kinds.hosts,
    standard: [],
    text: "Hosts and CIDRs that are allowed although `public` would refuse them, separated by commas; with a port (`10.0.0.5:8443`, `[::1]:9000`) at that port alone."
  },
  egressDeny: {
    env: "WSM_EGRESS_DENY",
    kind: Kinds.hosts,
    standard: [],
    text: "Hosts and CIDRs that are refused in any case, separated by commas; with a port at that port alone."
  },
  egressNat64: {
    env: "WSM_EGRESS_NAT64",
    kind: Kinds.nat64,
    standard: [],
    text: "Prefixes of your NAT64 gateways, as `2001:db8:64::/96`, separated by commas: what goes there is judged by the IPv4 address in it. `64:ff9b::/96` is known."
  },
  dnsServers: {
    env: "WSM_DNS_SERVERS",
    kind: Kinds.nameServers,
    standard: [],
    standardText: "those of the system",
    text: "Name servers for what is dialled, as `10.0.0.53, [fd00::53]:5353`. `system` asks through the operating system instead (mDNS, NIS), where a name that hangs holds up others."
  },
  stateStore: {
    env: "WSM_STATE_STORE",
    kind: name,
    standard: "statestore",
    text: "Dapr: name of the state store component."
  },
  pubsub: { env: "WSM_PUBSUB", kind: name, standard: "pubsub", text: "Dapr: name of the pub/sub component." },
  daprHost: { env: "DAPR_HOST", kind: Kinds.askedHost, standard: "127.0.0.1", text: "Dapr: host of the sidecar." },
  daprHttpPort: {
    env: "DAPR_HTTP_PORT",
    kind: Kinds.whole("a port", 1, 65_535),
    standard: 3500,
    text: "Dapr: HTTP port of the sidecar."
  },
  daprGrpcPort: {
    env: "DAPR_GRPC_PORT",
    kind: Kinds.whole("a port", 1, 65_535),
    standard: 50_001,
    text: "Dapr: gRPC port of the sidecar."
  },
  daprApiToken: {
    env: "DAPR_API_TOKEN",
    kind: Kinds.secret,
    standard: undefined,
    text: "Dapr: token that the sidecar asks for."
  },
  appApiToken: {
    env: "APP_API_TOKEN",
    kind: Kinds.secret,
    standard: undefined,
    text: "Dapr: token that the sidecar shows to us. A gRPC call that carries it came through the sidecar and needs no other; with it set, one that carries neither it nor `WSM_API_TOKEN` is refused."
  },
  daprWait: {
    env: "WSM_DAPR_WAIT",
    kind: Kinds.duration(0, "1 hour"),
    standard: Duration.seconds(60),
    text: "Dapr: how long a start waits for the sidecar and its components, before it gives up."
  },
  allowUntestedStore: {
    env: "WSM_ALLOW_UNTESTED_STORE",
    kind: Kinds.flag,
    standard: false,
    text: "Dapr: start on a state store that was never tested with us, with a warning. One that is known not to compare and set is refused all the same."
  },
  lifecycleTopic: {
    env: "WSM_LIFECYCLE_TOPIC",
    kind: Kinds.text("a topic of at most 256 characters, none of them a control character", /^[^\p{Cc}]{0,256}$/u),
    standard: "websocketmanager.lifecycle",
    emptyIsValue: true,
    text: "Topic of the lifecycle events. Empty publishes none; `Watch` and the log have them all the same."
  },
  topics: {
    env: "WSM_TOPICS",
    kind: Kinds.topics,
    standard: [],
    standardText: "none; `*`, all, while listening on loopback",
    text: "Topics that callers may publish to, separated by commas; `*` stands for any characters, as in `prices.*`. The lifecycle topic and what looks like a key of our records never are."
  },
  heartbeatInterval: {
    env: "WSM_HEARTBEAT_INTERVAL",
    kind: Kinds.duration("500 millis", "60 seconds"),
    standard: Duration.seconds(2),
    text: "How often an instance says that it lives. Shorter finds a dead peer sooner and costs a write to the store each time."
  },
  heartbeatTtl: {
    env: "WSM_HEARTBEAT_TTL",
    kind: Kinds.duration("1500 millis", "1 hour"),
    standard: Duration.seconds(6),
    text: "How long an instance may act after its last heartbeat, and the soonest that a silent one is taken over. At least three intervals. Longer forgives more outage of the store and leaves a dead peer's connections down for longer."
  },
  reclaimInterval: {
    env: "WSM_RECLAIM_INTERVAL",
    kind: Kinds.duration("50 millis", "1 hour"),
    standard: Duration.seconds(1),
    text: "How often an instance looks for connections without a live owner. Shorter takes over sooner and reads the store more often."
  },
  claimRate: {
    env: "WSM_CLAIM_RATE",
    kind: Kinds.rate,
    standard: 1000,
    text: "Connections an instance may take over, per second. Higher recovers a big fleet sooner and loads the store more."
  },
  crashDetection: {
    env: "WSM_CRASH_DETECTION",
    kind: Kinds.oneOf("refused", "off"),
    standard: "refused",
    text: "`refused`: a peer whose link broke and whose port refuses a new dial is taken over at once. `off`: only an expired lease counts."
  },
  secretsDir: {
    env: "WSM_SECRETS_DIR",
    kind: path,
    standard: "",
    text: "Folder of secrets: `secret:NAME` is the file NAME there, or else the variable `WSM_SECRET_VALUE_<NAME>`. Case does not count, and `.`, `-` and `_` are one: two files of one name are refused."
  },
  secretStore: {
    env: "WSM_SECRET_STORE",
    kind: name,
    standard: "secretstore",
    text: "Dapr: name of the secret store component that `secret:NAME/KEY` is asked of."
  },
  secretHosts: {
    env: "WSM_SECRET_HOSTS",
    kind: Kinds.secretHosts,
    standard: new Map(),
    standardText: "none: on loopback secrets go anywhere, else nowhere",
    text: "Where secrets may go, `NAME=target[,target]; …`, a target being `wss://host:port`, `ws://host:port`, or a host alone, which is `wss` on port 443. A host is a name, `*.suffix`, an address or `*`; `:*` is any port, `*` alone everywhere. `*=…` is for all that have no entry; without it a secret that is not listed goes nowhere. Required when `WSM_HOST` is not loopback and there are secrets."
  },
  onLeaseLoss: {
    env: "WSM_ON_LEASE_LOSS",
    kind: Kinds.oneOf("stop", "continue"),
    standard: "stop",
    text: "For connections that do not say: `stop` closes the sockets before anyone else may own them, `continue` goes on publishing while the state store is unreachable."
  },
  dialRatePerHost: {
    env: "WSM_DIAL_RATE_PER_HOST",
    kind: Kinds.rate,
    standard: 100,
    text: "Dials to one host name and port, per second, for the whole fleet; each instance uses its share. Higher is sooner up again after an outage, and harder on the peer."
  },
  dialRatePerAddress: {
    env: "WSM_DIAL_RATE_PER_ADDRESS",
    kind: Kinds.rate,
    standard: 500,
    standardText: "five times `WSM_DIAL_RATE_PER_HOST`",
    text: "The same to one network (an IPv4 /24, an IPv6 /56; a private address is one by itself), whatever the names and ports."
  },
  dialRateTotal: {
    env: "WSM_DIAL_RATE_TOTAL",
    kind: Kinds.rate,
    standard: 2000,
    standardText: "20 times `WSM_DIAL_RATE_PER_HOST`, at least `2000 per second`",
    text: "The same to all hosts together. Higher recovers a big fleet sooner; every dial costs processor time, and TLS much of it."
  },
  drainMode: {
    env: "WSM_DRAIN_MODE",
    kind: Kinds.oneOf("migrate", "wait"),
    standard: "migrate",
    text: "On SIGTERM and SIGINT: `migrate` hands the connections to other instances, `wait` waits until they are closed."
  },
  drainTimeout: {
    env: "WSM_DRAIN_TIMEOUT",
    kind: Kinds.duration(0, "1 hour"),
    standard: Duration.seconds(30),
    text: "How long that may take; then what is left is released. Keep it below the grace period of whoever stops the process."
  },
  maxConnections: {
    env: "WSM_MAX_CONNECTIONS",
    kind: Kinds.whole("a number", 1, 10_000_000),
    standard: 50_000,
    text: "Connections an instance accepts; a takeover may exceed it. Each needs an open file and some 30 KB."
  },
  bufferMaxBytes: {
    env: "WSM_BUFFER_MAX_BYTES",
    kind: Kinds.size(MIB, 1024 ** 4),
    standard: 512 * MIB,
    text: "All buffers of an instance together. Above it every connection that buffers counts as full. More rides out a longer outage of the broker, and is memory."
  },
  publishMaxBytes: {
    env: "WSM_PUBLISH_MAX_BYTES",
    kind: Kinds.size(64 * 1024, 1024 * MIB),
    standard: 4 * MIB,
    text: "The largest publish request, as encoded: the body limit of sidecar and broker. A frame that does not fit is dropped and reported."
  },
  publishBatch: {
    env: "WSM_PUBLISH_BATCH",
    kind: Kinds.whole("a number", 1, 10_000),
    standard: 100,
    text: "Events in one publish request. More is more throughput through a slow broker, and repeats more when a request fails."
  },
  publishLinger: {
    env: "WSM_PUBLISH_LINGER",
    kind: Kinds.duration(0, "10 seconds"),
    standard: Duration.millis(5),
    text: "The longest an event waits for company while all request slots are busy; with a free slot it goes at once."
  },
  keepaliveUrl: {
    env: "WSM_KEEPALIVE_URL",
    kind: Kinds.httpUrl(redactUrl),
    standard: "",
    text: "URL to fetch from time to time, so that a platform that stops idle services sees traffic: usually our own `/alive` as seen from outside. Empty is off."
  },
  keepaliveMin: {
    env: "WSM_KEEPALIVE_MIN",
    kind: Kinds.duration("1 second", "24 hours"),
    standard: Duration.seconds(10),
    text: "The shortest pause between two of these fetches."
  },
  keepaliveMax: {
    env: "WSM_KEEPALIVE_MAX",
    kind: Kinds.duration("1 second", "24 hours"),
    standard: Duration.seconds(60),
    text: "The longest pause between two of these fetches."
  },
  logLevel: {
    env: "WSM_LOG_LEVEL",
    kind: Kinds.oneOf("trace", "debug", "info", "warning", "error", "none"),
    standard: "info",
    text: "The least important level that is logged."
  },
  logFormat: {
    env: "WSM_LOG_FORMAT",
    kind: Kinds.oneOf("pretty", "json"),
    standard: "json",
    standardText: "`pretty` on a terminal, else `json`",
    text: "`pretty` for people, `json` one object a line."
  }
}

/** What the environment also says and is no setting of an instance: [name, text]. A name in `WSM_…<…>` is a prefix. */
export const BESIDE: ReadonlyArray<readonly [name: string, text: string]> = [
  ["WSM_SECRET_VALUE_<NAME>", "The value of `secret:NAME`: the name in upper case, `.` and `-` as `_`."],
  [
    "…_FILE",
    "Beside each setting that is a secret, and has no flag: the file that holds it, as `WSM_API_TOKEN_FILE`. Both is an error; a line break at its end does not count."
  ],
  ["WSM_SERVER", "For the command line: the instance to talk to, `http://127.0.0.1:5001` if not set."],
  ["OTEL_EXPORTER_OTLP_ENDPOINT …", "The standard OpenTelemetry variables turn the export of traces and metrics on."],
  ["NODE_EXTRA_CA_CERTS", "File of further certificate authorities, for what is dialled."]
]

export type SettingKey = keyof SettingsShape

export const KEYS = Object.keys(CATALOGUE) as ReadonlyArray<SettingKey>

/** Whether a setting is a secret: it has no flag, and may be given as a file. */
export const isSecret = (key: SettingKey): boolean => entryOf(key).kind.secret === true

/** The flag of a setting, without its dashes: `WSM_HTTP_PORT` is `http-port`, `DAPR_HOST` is `dapr-host`. A secret has none. */
export const flagOf = (key: SettingKey): string =>
  CATALOGUE[key].env.replace(/^WSM_/, "").toLowerCase().replaceAll("_", "-")

/** The entry of a setting, where it does not matter which one it is. */
export const entryOf = (key: SettingKey): Entry<unknown> => CATALOGUE[key] as Entry<unknown>

/** A value as an operator writes it; secrets as `***`, nothing as an empty text. */
export const show = (key: SettingKey, value: unknown): string =>
  value === undefined || value === null ? "" : entryOf(key).kind.show(value)
