/** A real Dapr sidecar on free loopback ports, gone with the scope. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Resource, resourcesOf } from "./Components.js"
import { daprdBinary } from "./Daprd.js"
import { freePort } from "./Ports.js"
import { asked, flags, type ProcessFailed, type Server, serverFolder, startServer } from "./processes.js"

export interface SidecarOptions {
  /** what it loads: documents, or a folder of YAML files, copied; nothing unless told */
  readonly resources?: ReadonlyArray<Resource> | string
  /** `wsm` unless told; several sidecars may have the same */
  readonly appId?: string
  /** where the application listens */
  readonly appPort?: number
  /** `grpc` unless told */
  readonly appProtocol?: "grpc" | "http" | "h2c"
  /** the YAML of a Configuration */
  readonly config?: string
  /** what callers of the sidecar must show */
  readonly apiToken?: string
  /** what the sidecar shows to the application */
  readonly appToken?: string
  /** such as `16Mi`; 4 MiB unless told */
  readonly maxBodySize?: string
  /** further flags */
  readonly flags?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** names to wait for; every component of the resources unless told */
  readonly components?: ReadonlyArray<string>
}

export interface Sidecar extends Server {
  readonly appId: string
  readonly httpPort: number
  readonly grpcPort: number
  readonly metricsPort: number
  /** for sidecar to sidecar */
  readonly internalPort: number
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** resources are in `resources` below it, the log beside them */
  readonly folder: string
  /** `/v1.0/metadata` */
  readonly metadata: Effect.Effect<SidecarMetadata, ProcessFailed>
  /** one of its Prometheus counters, summed over its labels that contain all of `labels` */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Effect.Effect<number, ProcessFailed>
}

export interface SidecarMetadata {
  readonly id: string
  readonly runtimeVersion: string
  readonly components?: ReadonlyArray<{
    readonly name: string
    readonly type: string
    readonly version: string
    readonly capabilities?: ReadonlyArray<string>
  }>
}

/** Started: its APIs serve, and its components are loaded. */
export const startSidecar = (options: SidecarOptions = {}): Effect.Effect<Sidecar, ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { appId = "wsm", resources = [] } = options
    const command = yield* asked(daprdBinary)
    const folder = yield* serverFolder(`daprd-${appId}`)
    const [httpPort, grpcPort, internalPort, metricsPort, profilePort] = yield* fivePorts
    const documents = typeof resources === "string" ? resourcesOf(resources) : resources
    const expected = options.components ?? documents.filter(({ kind }) => kind === "Component").map(({ name }) => name)
    const url = `http://127.0.0.1:${httpPort}`
    const metadata = async (): Promise<SidecarMetadata> => {
      const headers = options.apiToken === undefined ? undefined : { "dapr-api-token": options.apiToken }
      const response = await fetch(`${url}/v1.0/metadata`, headers && { headers })
      return (await response.json()) as SidecarMetadata
    }
    const server = yield* startServer({
      name: `daprd-${appId}`,
      command,
      folder,
      args: [
        ...flags({
          "app-id": appId,
          "resources-path": writeResources(folder, documents),
          "dapr-http-port": httpPort,
          "dapr-grpc-port": grpcPort,
          "dapr-listen-addresses": "127.0.0.1",
          "dapr-internal-grpc-port": internalPort,
          "dapr-internal-grpc-listen-address": "127.0.0.1",
          "metrics-port": metricsPort,
          "metrics-listen-address": "127.0.0.1",
          "profile-port": profilePort,
          "app-port": options.appPort,
          "app-protocol": options.appPort === undefined ? undefined : (options.appProtocol ?? "grpc"),
          config: options.config === undefined ? undefined : writeConfig(folder, options.config),
          "max-body-size": options.maxBodySize
        }),
        ...(options.flags ?? [])
      ],
      env: {
        // Where there is no interface but loopback, it ends without.
        DAPR_HOST_IP: "127.0.0.1",
        ...(options.apiToken === undefined ? undefined : { DAPR_API_TOKEN: options.apiToken }),
        ...(options.appToken === undefined ? undefined : { APP_API_TOKEN: options.appToken }),
        ...options.env
      },
      ready: async () => {
        // 204 alone is also said shortly before it ends for a component that failed.
        if ((await fetch(`${url}/v1.0/healthz/outbound`)).status !== 204) return false
        const loaded = new Set((await metadata()).components?.map(({ name }) => name))
        return expected.every((name) => loaded.has(name))
      }
    })
    return {
      ...server,
      appId,
      httpPort,
      grpcPort,
      metricsPort,
      internalPort,
      url,
      folder,
      metadata: asked(metadata),
      metric: (name, labels = {}) =>
        asked(async () => sum(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(), name, labels))
    }
  })

const fivePorts = Effect.all([freePort, freePort, freePort, freePort, freePort])

const writeResources = (folder: string, documents: ReadonlyArray<Resource>): string => {
  const path = join(folder, "resources")
  mkdirSync(path)
  documents.forEach(({ name, yaml }, index) => writeFileSync(join(path, `${index}-${name}.yaml`), yaml))
  return path
}

const writeConfig = (folder: string, yaml: string): string => {
  const path = join(folder, "config.yaml")
  writeFileSync(path, yaml)
  return path
}

const sum = (text: string, name: string, labels: Readonly<Record<string, string>>): number => {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0)
}
