import { it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect } from "vitest"
import { CATALOGUE, flagOf, isSecret, KEYS, type SettingKey } from "../../src/config/Catalogue.js"
import { defaults, fast, fromOptions, load } from "../../src/config/Load.js"
import { isLoopback } from "../../src/common/Hosts.js"
import { Settings } from "../../src/config/Settings.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { helpText, loadedRows, settingsTable } from "../../src/config/Table.js"

const loaded = (env: Record<string, string>, flags: Record<string, string> = {}) =>
  Either.getOrThrow(load({ env, flags })).settings
const refused = (env: Record<string, string>, flags: Record<string, string> = {}): string => {
  const result = load({ env, flags })
  return Either.isLeft(result) ? result.left.message : "accepted"
}

/** Long enough for an address that others reach. */
const TOKEN = "0123456789abcdef"

/** Of every setting: [text, the value it becomes, texts that are refused]. */
const VALUES: { readonly [K in SettingKey]: readonly [string, unknown, ReadonlyArray<string>] } = {
  backing: ["dapr", "dapr", ["Dapr", "redis"]],
  dataDir: ["/var/lib/wsm", "/var/lib/wsm", ["a\u0000b"]],
  host: ["::1", "::1", ["a b", "http://h", "127.0.0.1:5001", "localhost:5001", "h/p", "*.h", "[h]", "::1]"]],
  httpPort: ["0", 0, ["-1", "65536", "http", "5001.5", "0x10", "5e3"]],
  grpcPort: ["65535", 65_535, ["65536", "any"]],
  instanceId: ["node-1.a_b", "node-1.a_b", ["_index", "a/b", "a b", "i".repeat(129)]],
  advertiseAddress: [
    "http://10.0.0.5:5001",
    "http://10.0.0.5:5001",
    ["10.0.0.5:5001", "ws://h", "http://", "http://u:p@h:1", "http://h:1?q", `http://${"h".repeat(250)}`]
  ],
  tlsCert: ["cert.pem", "cert.pem", ["a\nb"]],
  tlsKey: ["key.pem", "key.pem", ["a\nb"]],
  tlsMinVersion: ["1.3", "1.3", ["1.1", "TLSv1.2"]],
  apiToken: ["s3cret", Redacted.make("s3cret"), ["two words", "line\nbreak", "schlüssel"]],
  peerSecret: ["0123456789abcdef,fedcba9876543210", Redacted.make("0123456789abcdef,fedcba9876543210"), ["short", "0123456789abcdef,short", "0123456789abcdef,", "with a space in it", "a123456789abcdef,b123456789abcdef,c123456789abcdef"]], // prettier-ignore
  peerPort: ["5003", 5003, ["-1", "65536", "any"]],
  peerTlsCa: ["ca.pem", "ca.pem", ["a\nb"]],
  insecure: ["true", true, ["yes", "on"]],
  egress: ["public", "public", ["none", "private"]],
  egressAllow: ["10.0.0.0/8, feed.example.com,*.example.org,::1,[fd00::1]", ["10.0.0.0/8", "feed.example.com", "*.example.org", "::1", "[fd00::1]"], ["10.0.0.0/33", "10.0.0/8", "a/b", "http://h", "fd00::/129", "a b"]], // prettier-ignore
  egressDeny: ["fd00::/8, 10.0.0.5:8443,[::1]:9000, [fd00::/8]:443,*.x.example:80", ["fd00::/8", "10.0.0.5:8443", "[::1]:9000", "[fd00::/8]:443", "*.x.example:80"], ["*", "-", "h:0", "h:65536", "h:", ":80", "10.0.0.0/8:x"]], // prettier-ignore
  egressNat64: ["2001:db8:64::/96, fd00:64::/48", ["2001:db8:64::/96", "fd00:64::/48"], ["2001:db8::1", "10.0.0.0/32", "2001:db8::/72", "x/96"]], // prettier-ignore
  dnsServers: ["10.0.0.53, [fd00::53]:5353,fd00::54, 127.0.0.1:5300", ["10.0.0.53", "[fd00::53]:5353", "fd00::54", "127.0.0.1:5300"], ["dns.example", "10.0.0.53:0", "system,10.0.0.1", "10.0.0.0/8"]], // prettier-ignore
  stateStore: ["redis", "redis", ["a b"]],
  pubsub: ["kafka", "kafka", ["a\tb"]],
  daprHost: ["dapr-1.example.com", "dapr-1.example.com", ["a b", "http://x", "127.0.0.1:3500", "[::1]:3500", "x/", "*.x", "u@x", "999.1.1.1", "fe80::1%eth0"]], // prettier-ignore
  daprHttpPort: ["3501", 3501, ["0", "65536"]],
  daprGrpcPort: ["50002", 50_002, ["0", "x"]],
  daprApiToken: ["t", Redacted.make("t"), ["a b"]],
  appApiToken: ["t", Redacted.make("t"), ["a b"]],
  daprWait: ["0 seconds", Duration.zero, ["60", "-1 seconds", "2 hours"]],
  allowUntestedStore: ["true", true, ["yes", "etcd"]],
  lifecycleTopic: ["events", "events", ["t".repeat(257), "a\nb"]],
  topics: ["prices, prices.*", ["prices", "prices.*"], ["a\nb", "t".repeat(257)]],
  heartbeatInterval: [
    "500 millis",
    Duration.millis(500),
    ["499 millis", "61 seconds", "2", "2s", "-2 seconds", "soon"]
  ],
  heartbeatTtl: ["1 minute", Duration.minutes(1), ["1 second", "2 hours"]],
  reclaimInterval: ["0.5 seconds", Duration.millis(500), ["0 seconds", "Infinity"]],
  claimRate: ["200 per second", 200, ["0 per second", "200 per minute", "-1", "fast"]],
  crashDetection: ["off", "off", ["false"]],
  secretsDir: ["/run/secrets", "/run/secrets", ["a\u0007b"]],
  secretStore: ["vault", "vault", ["a b"]],
  secretHosts: ["A=h1,h2; vault/k = h3", new Map([["A", ["h1", "h2"]], ["vault/k", ["h3"]]]), ["A", "A=", "=h", "../x=h", "A=h;A=i", "A=h i", "feed-token=h;FEED_TOKEN=i", "a.b/k=h;A_B/K=h", "A=10.0.0.0/8", "A=http://h", "A=wss://h/p", "A=h:0", "A=h:70000", "A=[::1", "A=u@h", "A=*.*", "A=::1:443:", "*=a b"]], // prettier-ignore
  onLeaseLoss: ["continue", "continue", ["stay"]],
  dialRatePerHost: ["0.5", 0.5, ["0", "1/s"]],
  dialRatePerAddress: ["800 per second", 800, ["0", "none"]],
  dialRateTotal: ["3000 per second", 3000, ["0", "2 per minute"]],
  drainMode: ["wait", "wait", ["kill"]],
  drainTimeout: ["0 seconds", Duration.zero, ["2 hours", "30"]],
  maxConnections: ["1", 1, ["0", "1e3"]],
  bufferMaxBytes: ["1 GiB", 1024 ** 3, ["1 MB", "0", "1023 KiB", "0.3 KiB"]],
  publishMaxBytes: ["1048576", 1024 ** 2, ["1 KiB", "2 GiB"]],
  publishBatch: ["1", 1, ["0", "10001"]],
  publishLinger: ["0 millis", Duration.zero, ["11 seconds"]],
  keepaliveUrl: ["https://me.example/alive", "https://me.example/alive", ["me.example", "ftp://me.example"]],
  keepaliveMin: ["1 second", Duration.seconds(1), ["999 millis"]],
  keepaliveMax: ["2 minutes", Duration.minutes(2), ["25 hours"]],
  logLevel: ["debug", "debug", ["verbose", "INFO"]],
  logFormat: ["pretty", "pretty", ["xml"]]
}
/** What some of them need beside them. */
const WITH: Partial<Record<SettingKey, Record<string, string>>> = {
  tlsCert: { WSM_TLS_KEY: "key.pem" },
  tlsKey: { WSM_TLS_CERT: "cert.pem" },
  peerTlsCa: { WSM_PEER_PORT: "5003", WSM_TLS_CERT: "cert.pem", WSM_TLS_KEY: "key.pem" }
}

describe("the defaults", () => {
  it("are those of the contract", () => {
    expect(defaults).toEqual(loaded({}))
    expect(defaults).toMatchObject({
      backing: "embedded",
      dataDir: ".wsm",
      host: "127.0.0.1",
      httpPort: 5001,
      grpcPort: 5002,
      instanceId: "",
      advertiseAddress: "",
      apiToken: undefined,
      insecure: false,
      egress: "any",
      stateStore: "statestore",
      pubsub: "pubsub",
      daprHost: "127.0.0.1",
      daprHttpPort: 3500,
      daprGrpcPort: 50_001,
      daprWait: Duration.seconds(60),
      allowUntestedStore: false,
      lifecycleTopic: "websocketmanager.lifecycle",
      heartbeatInterval: Duration.seconds(2),
      heartbeatTtl: Duration.seconds(6),
      reclaimInterval: Duration.seconds(1),
      claimRate: 1000,
      crashDetection: "refused",
      secretStore: "secretstore",
      onLeaseLoss: "stop",
      dialRatePerHost: 100,
      dialRatePerAddress: 500,
      dialRateTotal: 2000,
      egressNat64: [],
      dnsServers: [],
      drainMode: "migrate",
      drainTimeout: Duration.seconds(30),
      maxConnections: 50_000,
      bufferMaxBytes: 512 * 1024 * 1024,
      publishMaxBytes: 4 * 1024 * 1024,
      publishBatch: 100,
      publishLinger: Duration.millis(5),
      keepaliveMin: Duration.seconds(10),
      keepaliveMax: Duration.seconds(60),
      logLevel: "info",
      logFormat: "json"
    })
  })

  it("log prettily on a terminal", () => {
    expect(Either.getOrThrow(load({ env: {}, terminal: true })).settings.logFormat).toBe("pretty")
    expect(Either.getOrThrow(load({ env: { WSM_LOG_FORMAT: "json" }, terminal: true })).settings.logFormat).toBe("json")
  })

  it("let sockets go anywhere only while listening on loopback", () => {
    const egress = (env: Record<string, string>) => loaded({ WSM_API_TOKEN: TOKEN, ...env }).egress
    expect(egress({ WSM_HOST: "::1" })).toBe("any")
    expect(egress({ WSM_HOST: "0.0.0.0" })).toBe("public")
    expect(egress({ WSM_HOST: "0.0.0.0", WSM_EGRESS: "any" })).toBe("any")
    expect(egress({ WSM_EGRESS: "public" })).toBe("public")
    expect(["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"].every(isLoopback)).toBe(true)
    expect(["0.0.0.0", "::", "127.example.com", "10.0.0.1", "localhost.example.com"].some(isLoopback)).toBe(false)
  })

  it("of a preset for tests keep every rule, and nothing on disk", () => {
    expect(fast).toEqual(Either.getOrThrow(fromOptions(fast)))
    expect([fast.dataDir, fast.httpPort, fast.grpcPort]).toEqual(["", 0, 0])
  })
})

describe.each(KEYS)("the setting %s", (key) => {
  const [text, value, bad] = VALUES[key]
  const { env } = CATALOGUE[key]
  const beside = WITH[key] ?? {}

  it("is read from the environment and from its flag, the flag first", () => {
    expect(loaded({ ...beside, [env]: text })[key]).toEqual(value)
    if (isSecret(key)) expect(loaded(beside, { [flagOf(key)]: text })[key]).toBeUndefined()
    else expect(loaded({ ...beside, [env]: "no such value\u0000" }, { [flagOf(key)]: text })[key]).toEqual(value)
  })

  it("keeps what it was when it is written as it is shown, secrets apart", () => {
    const { settings } = Either.getOrThrow(load({ env: { ...beside, [env]: text } }))
    const shown = loadedRows(Either.getOrThrow(load({ env: { ...beside, [env]: text } }))).find(
      (row) => row.env === env
    )
    expect(shown?.source).toBe("environment")
    if (shown?.value === "***") expect(isSecret(key)).toBe(true)
    else expect(loaded({ ...beside, [env]: shown!.value })[key]).toEqual(settings[key])
  })

  it.each(bad)("refuses %j in one line that names it and the rule", (text) => {
    const message = refused({ ...beside, [env]: text })
    expect(message).toMatch(new RegExp(`^${env}=.* is refused: it must be .+$`))
    expect(message).not.toMatch(/\p{Cc}/u)
    if (isSecret(key)) expect(message).not.toContain(text)
    else expect(refused(beside, { [flagOf(key)]: text })).toMatch(new RegExp(`^--${flagOf(key)}=`))
  })

  it("has a text for operators, in the help and in the table", () => {
    expect(helpText(key)).toMatch(/^\S.+ Must be .+\. Default: .+\.$/)
    expect(settingsTable()).toContain(isSecret(key) ? `| \`${env}\` |  |` : `| \`${env}\` | \`--${flagOf(key)}\` |`)
  })
})

const WHERE =
  "is refused: it must be loopback, or WSM_SECRET_HOSTS say where the secrets may go (*=* lets all of them go anywhere)"

const DIALLED =
  "since instances on other hosts dial it (or WSM_INSECURE=true, if what they pass on may be read on the way)"

describe("relations", () => {
  it.each<[Record<string, string>, string]>([
    [{ WSM_HEARTBEAT_TTL: "5 seconds" }, "WSM_HEARTBEAT_TTL=5 seconds is refused: it must be at least three times WSM_HEARTBEAT_INTERVAL=2 seconds"], // prettier-ignore
    [{ WSM_HEARTBEAT_INTERVAL: "2001 millis" }, "WSM_HEARTBEAT_TTL=6 seconds is refused: it must be at least three times WSM_HEARTBEAT_INTERVAL=2001 millis"], // prettier-ignore
    [{ WSM_HOST: "0.0.0.0" }, "WSM_HOST=0.0.0.0 is refused: it must be loopback, or WSM_API_TOKEN be set (or WSM_INSECURE=true, if everyone may call)"], // prettier-ignore
    [{ WSM_HOST: "0.0.0.0", WSM_API_TOKEN: "" }, "WSM_HOST=0.0.0.0 is refused: it must be loopback, or WSM_API_TOKEN be set (or WSM_INSECURE=true, if everyone may call)"], // prettier-ignore
    [{ WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN.slice(1) }, "WSM_API_TOKEN=*** is refused: it must have at least 16 characters where WSM_HOST is not loopback: a shorter one is soon guessed"], // prettier-ignore
    [{ WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_SECRETS_DIR: "/s" }, `WSM_HOST=0.0.0.0 ${WHERE}`],
    [{ WSM_HOST: "::", WSM_INSECURE: "true", WSM_SECRET_VALUE_A: "s" }, `WSM_HOST=:: ${WHERE}`],
    [{ WSM_HOST: "10.0.0.1", WSM_API_TOKEN: TOKEN, WSM_BACKING: "dapr", WSM_SECRET_STORE: "secretstore" }, `WSM_HOST=10.0.0.1 ${WHERE}`], // prettier-ignore
    [{ WSM_BACKING: "dapr", WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN }, `WSM_HOST=0.0.0.0 is refused: it must be loopback, or WSM_TLS_CERT and WSM_TLS_KEY be set, ${DIALLED}`], // prettier-ignore
    [{ WSM_BACKING: "dapr", WSM_ADVERTISE_ADDRESS: "http://10.0.0.5:5001" }, `WSM_ADVERTISE_ADDRESS=http://10.0.0.5:5001 is refused: it must be https, ${DIALLED}`], // prettier-ignore
    [{ WSM_PEER_TLS_CA: "ca.pem", WSM_PEER_PORT: "5003" }, "WSM_PEER_TLS_CA=ca.pem is refused: it must be set together with WSM_PEER_PORT, WSM_TLS_CERT and WSM_TLS_KEY"], // prettier-ignore
    [{ WSM_PEER_PORT: "5001" }, "WSM_PEER_PORT=5001 is refused: it must be another port than WSM_HTTP_PORT=5001"],
    [{ WSM_PEER_PORT: "5002" }, "WSM_PEER_PORT=5002 is refused: it must be another port than WSM_GRPC_PORT=5002"],
    [{ WSM_TLS_CERT: "c.pem" }, "WSM_TLS_CERT=c.pem is refused: it must be set together with WSM_TLS_KEY"],
    [{ WSM_TLS_KEY: "k.pem" }, "WSM_TLS_CERT= is refused: it must be set together with WSM_TLS_KEY"],
    [{ WSM_GRPC_PORT: "5001" }, "WSM_GRPC_PORT=5001 is refused: it must be another port than WSM_HTTP_PORT=5001"],
    [{ WSM_KEEPALIVE_MIN: "61 seconds" }, "WSM_KEEPALIVE_MIN=61 seconds is refused: it must not be above WSM_KEEPALIVE_MAX=1 minute"] // prettier-ignore
  ])("%j is refused in one line", (env, message) => {
    expect(refused(env)).toBe(message)
  })

  it.each<Record<string, string>>([
    { WSM_HEARTBEAT_TTL: "6 seconds", WSM_HEARTBEAT_INTERVAL: "2 seconds" },
    { WSM_HOST: "0.0.0.0", WSM_INSECURE: "true" },
    { WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN },
    { WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_SECRET_VALUE_A: "s", WSM_SECRET_HOSTS: "a=h" },
    { WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_SECRETS_DIR: "/s", WSM_SECRET_HOSTS: "*=*" },
    { WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_SECRET_STORE: "vault" },
    { WSM_HOST: "127.0.0.1", WSM_SECRET_VALUE_A: "s", WSM_SECRETS_DIR: "/s" },
    { WSM_TLS_CERT: "c.pem", WSM_TLS_KEY: "k.pem" },
    { WSM_BACKING: "dapr", WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_TLS_CERT: "c.pem", WSM_TLS_KEY: "k.pem" },
    { WSM_BACKING: "dapr", WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_INSECURE: "true" },
    { WSM_BACKING: "dapr", WSM_HOST: "0.0.0.0", WSM_API_TOKEN: TOKEN, WSM_ADVERTISE_ADDRESS: "https://a.example" },
    { WSM_BACKING: "dapr", WSM_ADVERTISE_ADDRESS: "http://[::1]:5001" },
    { WSM_PEER_PORT: "5003", WSM_PEER_TLS_CA: "ca.pem", WSM_TLS_CERT: "c.pem", WSM_TLS_KEY: "k.pem" },
    { WSM_HTTP_PORT: "0", WSM_GRPC_PORT: "0" },
    { WSM_KEEPALIVE_MIN: "60 seconds" }
  ])("%j is accepted", (env) => {
    expect(refused(env)).toBe("accepted")
  })

  it("blame a flag by its flag", () => {
    expect(refused({}, { "heartbeat-ttl": "3 seconds" })).toBe(
      "--heartbeat-ttl=3 seconds is refused: it must be at least three times WSM_HEARTBEAT_INTERVAL=2 seconds"
    )
  })
})

describe("a list of where secrets may go", () => {
  it.each([
    ["feed-token=a; x=b; FEED_TOKEN=c", "feed-token and FEED_TOKEN are one secret: name it once"],
    ["a=10.0.0.0/8", "10.0.0.0/8 is a range, and a secret goes to hosts"],
    ["a=https://h", "https://h is no host, nor wss://host:port"]
  ])("%s is refused, and why", (list, why) => {
    expect(refused({ WSM_SECRET_HOSTS: list })).toBe(
      `WSM_SECRET_HOSTS=${list} is refused: it must be a list of secrets and where each may go, as NAME=wss://host:port,host; NAME=*: ${why}`
    )
  })
})

describe("the environment", () => {
  it("empty is as if not set, but for the settings where empty means something", () => {
    const settings = loaded({ WSM_HTTP_PORT: "", WSM_API_TOKEN: "", WSM_DATA_DIR: "", WSM_LIFECYCLE_TOPIC: "" })
    expect([settings.httpPort, settings.apiToken, settings.dataDir, settings.lifecycleTopic]).toEqual([5001, undefined, "", ""]) // prettier-ignore
  })

  it("a variable that nobody reads is reported by name, never by value, with the one that was meant", () => {
    const env = { WSM_HTTP_PROT: "1", WSM_API_TOKNE: "s3cret", WSM_WHATEVER_ELSE: "1", WSM_SERVER: "x", WSM_SECRET_VALUE_A: "x", WSM_SECRET_VALUE_b: "x", OTHER: "x" } // prettier-ignore
    expect(Either.getOrThrow(load({ env })).warnings).toEqual([
      "WSM_API_TOKNE is no setting and was ignored: did you mean WSM_API_TOKEN?",
      "WSM_HTTP_PROT is no setting and was ignored: did you mean WSM_HTTP_PORT?",
      "WSM_SECRET_VALUE_b is no setting and was ignored: did you mean WSM_SECRET_VALUE_B?",
      "WSM_WHATEVER_ELSE is no setting and was ignored"
    ])
  })

  it("a secret is not in what check-config shows, nor the password of a URL", () => {
    const env = { WSM_API_TOKEN: "hunter2", DAPR_API_TOKEN: "hunter2", WSM_KEEPALIVE_URL: "https://u:hunter2@h/" }
    expect(JSON.stringify(loadedRows(Either.getOrThrow(load({ env }))))).not.toContain("hunter2")
    expect(JSON.stringify(loaded(env).apiToken)).not.toContain("hunter2")
    expect(Redacted.value(loaded(env).apiToken!)).toBe("hunter2")
    expect(refused({ WSM_KEEPALIVE_URL: "ftp://u:hunter2@h/" })).not.toContain("hunter2")
  })
})

describe.each(KEYS.filter(isSecret))("the secret %s as a file", (key) => {
  const { env } = CATALOGUE[key]
  const name = `${env}_FILE`
  const VALUE = "hunter2-hunter2-hunter2"
  const folder = mkdtempSync(join(tmpdir(), "wsm-settings-"))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (text: string, mode = 0o600): string => {
    const path = join(folder, randomUUID())
    writeFileSync(path, text, { mode })
    return path
  }

  it("is what the file holds, without the line break at its end, and is not shown", () => {
    for (const text of [VALUE, `${VALUE}\n`, `${VALUE}\r\n`]) {
      const all = Either.getOrThrow(load({ env: { [name]: file(text) } }))
      expect(Redacted.value(all.settings[key] as Redacted.Redacted<string>)).toBe(VALUE)
      expect(loadedRows(all).find((row) => row.env === env)).toEqual({ env, value: "***", source: "file" })
      expect(all.warnings).toEqual([])
    }
  })

  it("that everybody can read is a warning", () => {
    const path = file(VALUE, 0o644)
    const { warnings } = Either.getOrThrow(load({ env: { [name]: path } }))
    expect(warnings).toEqual([`${name}=${path} can be read by everybody on this host (mode 644): chmod o-r`])
  })

  it("that cannot be is one line that names it, and never what it holds", () => {
    const two = refused({ [name]: file(VALUE), [env]: VALUE })
    expect(two).toMatch(new RegExp(`^${name}=.* is refused: it must not be given beside ${env}$`))
    expect(refused({ [name]: join(folder, "none") })).toMatch(/: it must be a file that can be read: ENOENT$/)
    expect(refused({ [name]: folder })).toMatch(/: it must be a file that can be read: it is no file$/)
    expect(refused({ [name]: file("\n") })).toMatch(/: it must be a file that holds something: it is empty$/)
    expect(refused({ [name]: file("x".repeat(65_537)) })).toMatch(/it is over 64 KiB$/)
    const bad = refused({ [name]: file("hunter2 hunter3") })
    expect(bad).toMatch(new RegExp(`^${name}=.* is refused: it must hold one `))
    for (const line of [two, bad]) expect(line).not.toContain("hunter")
  })
})

describe("a host", () => {
  it.each(["127.0.0.1", "::1", "[::1]", "localhost", "host.docker.internal", "my_sidecar", "xn--bcher-kva.example."])(
    "may be %s",
    (host) => {
      expect(loaded({ DAPR_HOST: host, WSM_HOST: host, WSM_API_TOKEN: TOKEN })).toMatchObject({ daprHost: host, host })
    }
  )

  it("that is a URL, or has a port, is refused by the name of its setting, with the rule", () => {
    const rule = "is refused: it must be a host name or an address, without scheme, port or path"
    expect(refused({ DAPR_HOST: "http://x" })).toBe(`DAPR_HOST=http://x ${rule}`)
    expect(refused({ DAPR_HOST: "127.0.0.1:3500" })).toBe(`DAPR_HOST=127.0.0.1:3500 ${rule}`)
    expect(refused({ WSM_HOST: "127.0.0.1:5001" })).toBe(`WSM_HOST=127.0.0.1:5001 ${rule}`)
  })
})

describe("options in code", () => {
  it.each<[Partial<SettingsShape>, string]>([
    [{ httpPort: 70_000 }, "httpPort=70000 is refused: it must be a port from 0 to 65535"],
    [{ heartbeatInterval: Duration.millis(10) }, "heartbeatInterval=10 millis is refused: it must be a duration from 500 millis to 1 minute, as 10 seconds or 500 millis"], // prettier-ignore
    [{ heartbeatTtl: Duration.seconds(5) }, "heartbeatTtl=5 seconds is refused: it must be at least three times WSM_HEARTBEAT_INTERVAL=2 seconds"], // prettier-ignore
    [{ apiToken: Redacted.make("hunter 2") }, "apiToken=*** is refused: it must be one or more visible ASCII characters without spaces"], // prettier-ignore
    [{ host: "0.0.0.0" }, "host=0.0.0.0 is refused: it must be loopback, or WSM_API_TOKEN be set (or WSM_INSECURE=true, if everyone may call)"] // prettier-ignore
  ])("%j are under the same checks", (options, message) => {
    const result = fromOptions(options)
    expect(Either.isLeft(result) && result.left.message).toBe(message)
  })

  it.effect("make the layer, or fail it", () =>
    Effect.gen(function* () {
      const settings = yield* Effect.provide(Settings, Settings.layer({ dataDir: "", maxConnections: 3 }))
      expect(settings).toEqual({ ...defaults, dataDir: "", maxConnections: 3 })
      const error = yield* Effect.flip(Effect.provide(Settings, Settings.layer({ httpPort: 5002 })))
      expect(error._tag).toBe("SettingsError")
    })
  )
})
