/** Dapr resources as tests use them: the YAML of each component, named as the manager names them unless told otherwise. */
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** One document of a resources folder. */
export interface Resource {
  readonly kind: string
  readonly name: string
  readonly yaml: string
}

export interface ComponentOptions {
  /** what the component is called; `wsm-state`, `wsm-pubsub` or `wsm-secrets` unless told */
  readonly name?: string
  /** further metadata, or other values for what is set already */
  readonly metadata?: Readonly<Record<string, string>>
  /** app-ids allowed to load it; all unless told */
  readonly scopes?: ReadonlyArray<string>
}

export const STATE = "wsm-state"
export const PUBSUB = "wsm-pubsub"
export const SECRETS = "wsm-secrets"

/** Any component. */
export const component = (
  type: string,
  version: string,
  defaultName: string,
  metadata: Readonly<Record<string, string>>,
  options: ComponentOptions = {}
): Resource => {
  const name = options.name ?? defaultName
  const values = Object.entries({ ...metadata, ...options.metadata })
  const scopes = options.scopes === undefined ? "" : `scopes: ${JSON.stringify(options.scopes)}\n`
  const entries = values.map(([name, value]) => `\n    - { name: ${name}, value: ${JSON.stringify(value)} }`).join("")
  return {
    kind: "Component",
    name,
    yaml: `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: ${name} }
spec:
  type: ${type}
  version: ${version}
  metadata:${entries || " []"}
${scopes}`
  }
}

/** Every document of a folder of YAML files. */
export const resourcesOf = (folder: string): ReadonlyArray<Resource> =>
  readdirSync(folder)
    .filter((name) => /\.ya?ml$/.test(name))
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split(/^---.*$/m))
    .filter((yaml) => /^kind:/m.test(yaml))
    .map(resource)

/** A document as it is. */
export const resource = (yaml: string): Resource => {
  const kind = /^kind:\s*(\S+)/m.exec(yaml)?.[1]
  const name = /^metadata:\s*(?:#.*)?(?:\{\s*|\n(?:\s.*\n)*?\s+)name:\s*["']?([^\s"',}]+)/m.exec(yaml)?.[1]
  if (kind === undefined || name === undefined) throw new Error(`no kind or no name in:\n${yaml}`)
  return { kind, name, yaml }
}

// ------------------------------------------------------------ state

export const stateInMemory = (options?: ComponentOptions): Resource =>
  component("state.in-memory", "v1", STATE, {}, options)

/** @param file the database, shared by all sidecars that name it; its folder must exist */
export const stateSqlite = (file: string, options?: ComponentOptions): Resource =>
  component(
    "state.sqlite",
    "v1",
    STATE,
    { connectionString: file, busyTimeout: "2s", cleanupInterval: "60s", keyPrefix: "none" },
    options
  )

export const stateRedis = (port: number, options?: ComponentOptions): Resource =>
  component(
    "state.redis",
    "v1",
    STATE,
    { redisHost: `127.0.0.1:${port}`, redisPassword: "", redisMaxRetries: "-1", keyPrefix: "none" },
    options
  )

const POSTGRES = { keyPrefix: "none", tablePrefix: "wsm_", metadataTableName: "wsm_metadata", timeout: "5s" }

/** @param connectionString as `Postgres` gives it */
export const statePostgres = (connectionString: string, options?: ComponentOptions): Resource =>
  component("state.postgresql", "v2", STATE, { connectionString, ...POSTGRES }, options)

export const statePostgresV1 = (connectionString: string, options?: ComponentOptions): Resource =>
  component(
    "state.postgresql",
    "v1",
    STATE,
    { connectionString, keyPrefix: "none", tableName: "wsm_v1", metadataTableName: "wsm_v1_metadata" },
    options
  )

/** PostgreSQL under the name of a store nobody has tested: etags, transactions and TTL, all there. */
export const stateYugabyte = (connectionString: string, options?: ComponentOptions): Resource =>
  component("state.yugabytedb", "v2", STATE, { connectionString, ...POSTGRES }, options)

/** Loads without a server: the client dials when it is first used. */
export const stateEtcd = (port: number, options?: ComponentOptions): Resource =>
  component(
    "state.etcd",
    "v2",
    STATE,
    { endpoints: `127.0.0.1:${port}`, keyPrefixPath: "wsm", tlsEnable: "false" },
    options
  )

/** No etags. Wants an answer when it loads. */
export const stateMemcached = (port: number, options?: ComponentOptions): Resource =>
  component("state.memcached", "v1", STATE, { hosts: `127.0.0.1:${port}` }, options)

// ------------------------------------------------------------ pub/sub

export const pubsubInMemory = (options?: ComponentOptions): Resource =>
  component("pubsub.in-memory", "v1", PUBSUB, {}, options)

/** A subscriber through it gets events in the order of the stream. */
export const pubsubRedis = (port: number, options?: ComponentOptions): Resource =>
  component(
    "pubsub.redis",
    "v1",
    PUBSUB,
    { redisHost: `127.0.0.1:${port}`, redisPassword: "", concurrency: "1" },
    options
  )

/** @param stream as `Nats` made it */
export const pubsubJetstream = (natsUrl: string, stream: string, options?: ComponentOptions): Resource =>
  component("pubsub.jetstream", "v1", PUBSUB, { natsURL: natsUrl, streamName: stream }, options)

// ------------------------------------------------------------ secrets, resiliency, configuration

/** @param file JSON; `{"a": {"b": "c"}}` has the secret `a:b` */
export const secretsFile = (file: string, options?: ComponentOptions): Resource =>
  component("secretstores.local.file", "v1", SECRETS, { secretsFile: file, nestedSeparator: ":" }, options)

/** The environment of the sidecar. */
export const secretsEnv = (options?: ComponentOptions): Resource =>
  component("secretstores.local.env", "v1", SECRETS, {}, options)

/** @param timeouts of each component by its name, such as `{ "wsm-state": "2s" }` */
export const resiliencyTimeouts = (timeouts: Readonly<Record<string, string>>): Resource => {
  const policies = Object.entries(timeouts).map(([name, value]) => `      ${name}: ${value}\n`)
  const targets = Object.keys(timeouts).map((name) => `      ${name}: { outbound: { timeout: ${name} } }\n`)
  return {
    kind: "Resiliency",
    name: "wsm-resiliency",
    yaml: `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: wsm-resiliency }
spec:
  policies:
    timeouts:
${policies.join("")}  targets:
    components:
${targets.join("")}`
  }
}

/** @param spec of a Configuration, for `SidecarOptions.config` */
export const configuration = (spec: Readonly<Record<string, unknown>>): string => `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: wsm-config }
spec: ${JSON.stringify(spec)}
`

/** Part of a Configuration: sidecars that name the same file find each other by app-id. */
export const namesIn = (file: string): Readonly<Record<string, unknown>> => ({
  nameResolution: { component: "sqlite", version: "v1", configuration: { connectionString: file } }
})
