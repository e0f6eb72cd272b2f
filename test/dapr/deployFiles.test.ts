/** compose.yaml and the Kubernetes manifests: what must agree in them agrees, and a real sidecar takes what they say to it. */
import { describe, expect, it as plain } from "vitest"
import { it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { parseAllDocuments } from "yaml"
import { judge } from "../../src/adapters/dapr/state/StoreDialect.js"
import { CATALOGUE, KEYS } from "../../src/config/Catalogue.js"
import { load } from "../../src/config/Load.js"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { startRedis } from "../support/Redis.js"
import { requiring } from "../support/Requirements.js"
import { startSidecar } from "../support/Sidecar.js"
import { deployed, textOf, yamlFiles } from "./deployedFolder.js"

// Documents of other projects' making: their shape is what is tested.
type Document = any

const documents = (path: string): ReadonlyArray<Document> =>
  parseAllDocuments(textOf(path), { merge: true }).map((document) => {
    expect(document.errors, path).toEqual([])
    return document.toJS() as Document
  })

const compose = documents("compose.yaml")[0]
const kubernetes = documents("dapr-components/kubernetes/websocketmanager.yaml")
const clusterComponents = documents("dapr-components/kubernetes/components.yaml")
const ofKind = (kind: string, name?: string): Document => {
  const found = kubernetes.filter((d) => d.kind === kind && (name === undefined || d.metadata.name === name))
  expect(found, `${kind} ${name ?? ""}`).toHaveLength(1)
  return found[0]
}

/** `45s`, `60` (seconds) */
const seconds = (text: string | number): number => Number(String(text).replace(/s$/, ""))

/** As the manager would read these variables. */
const settingsOf = (env: Readonly<Record<string, string>>): SettingsShape => {
  const loaded = load({ env, flags: {}, terminal: false })
  if (loaded._tag === "Left") throw loaded.left
  expect(loaded.right.warnings).toEqual([])
  return loaded.right.settings
}

/** A drain ends, by force if need be, this long after its timeout (the process gives itself as much). */
const FORCE = 5

const inOrder = (settings: SettingsShape, block: number, graceful: number, grace: number) => {
  const drain = Duration.toSeconds(settings.drainTimeout)
  expect(drain + FORCE).toBeLessThan(block)
  expect(block + graceful).toBeLessThan(grace)
}

const metadataOf = (component: Document): Readonly<Record<string, unknown>> =>
  Object.fromEntries(component.spec.metadata.map((entry: Document) => [entry.name, entry.value ?? entry.secretKeyRef]))

describe("the files of dapr-components", () => {
  plain("parse, and name what the settings name by default", () => {
    const names = { state: CATALOGUE.stateStore.standard, pubsub: CATALOGUE.pubsub.standard, secretstores: CATALOGUE.secretStore.standard } // prettier-ignore
    const kinds = yamlFiles()
      .flatMap((name) => documents(`dapr-components/${name}`))
      .map((document) => {
        if (document.kind !== "Component") return document.kind as string
        const [kind] = document.spec.type.split(".") as [keyof typeof names]
        // where a component has its own password from
        if (document.spec.type === "secretstores.local.env") return kind
        expect(document.metadata.name).toBe(names[kind])
        return kind
      })
    expect(new Set(kinds)).toEqual(new Set([...Object.keys(names), "Resiliency", "Configuration", ...kubernetes.map(({ kind }) => kind)])) // prettier-ignore
  })

  plain("put a limit of time on store and broker, and neither retry nor circuit breaker", () => {
    const resiliencies = [documents("dapr-components/resiliency.yaml")[0], clusterComponents.find(({ kind }) => kind === "Resiliency")] // prettier-ignore
    for (const { spec } of resiliencies) {
      expect(Object.keys(spec.policies)).toEqual(["timeouts"])
      for (const name of ["statestore", "pubsub"]) {
        const { outbound } = spec.targets.components[name]
        expect(Object.keys(outbound)).toEqual(["timeout"])
        expect(seconds(spec.policies.timeouts[outbound.timeout])).toBeGreaterThan(0)
      }
    }
  })

  plain("never repeat a compare-and-set, never reorder, and share their records among app ids", () => {
    for (const folder of ["redis", "compose"]) {
      const store = metadataOf(documents(`dapr-components/${folder}/statestore.yaml`)[0])
      expect(store).toMatchObject({ redisMaxRetries: "-1", keyPrefix: "websocketmanager-state" })
      expect(store).not.toHaveProperty("ttlInSeconds")
      expect(metadataOf(documents(`dapr-components/${folder}/pubsub.yaml`)[0])).toMatchObject({ concurrency: "1" })
    }
    const [postgres] = documents("dapr-components/postgresql/statestore.yaml")
    expect(postgres.spec.version).toBe("v2")
    expect(metadataOf(postgres)).toMatchObject({ keyPrefix: "none", cleanupInterval: "60s", timeout: "5s" })
  })

  plain("say the same for compose and Kubernetes as for everybody, but for the addresses", () => {
    const ADDRESSES = ["redisHost", "redisPassword", "connectionString", "secretsFile"]
    const rest = (component: Document) => {
      const values = Object.entries(metadataOf(component)).filter(([name]) => !ADDRESSES.includes(name))
      return { type: component.spec.type, version: component.spec.version, values: Object.fromEntries(values) }
    }
    const inCluster = (name: string) =>
      clusterComponents.find((d) => d.kind === "Component" && d.metadata.name === name)
    const at = (path: string) => documents(`dapr-components/${path}`)[0]
    expect(rest(at("compose/statestore.yaml"))).toEqual(rest(at("redis/statestore.yaml")))
    expect(rest(at("compose/pubsub.yaml"))).toEqual(rest(at("redis/pubsub.yaml")))
    expect(rest(inCluster("statestore"))).toEqual(rest(at("postgresql/statestore.yaml")))
    expect(rest(inCluster("pubsub"))).toEqual(rest(at("redis/pubsub.yaml")))
    expect(clusterComponents.find(({ kind }) => kind === "Configuration").spec).toEqual(at("config.yaml").spec)
    expect(clusterComponents.find(({ kind }) => kind === "Resiliency").spec).toEqual(at("resiliency.yaml").spec)
  })
})

describe("the table of state stores", () => {
  /** By the first words of its first column. */
  const verdictOf = (beginning: string): string => {
    const row = textOf("dapr-components/README.md")
      .split("\n")
      .find((line) => line.startsWith(`| ${beginning}`))
    expect(row, beginning).toBeDefined()
    return row!.split(" | ")[1]!
  }
  const ALL = ["ETAG", "TRANSACTIONAL", "TTL"]
  const cases: ReadonlyArray<
    readonly [row: string, type: string, version: string, capabilities: ReadonlyArray<string>]
  > = [
    ["PostgreSQL (`state.postgresql`, `version: v2`)", "state.postgresql", "v2", ALL],
    ["Redis (`state.redis`)", "state.redis", "v1", ALL],
    ["SQLite (`state.sqlite`)", "state.sqlite", "v1", ALL],
    ["in-memory (`state.in-memory`)", "state.in-memory", "v1", ALL],
    ["PostgreSQL `v1`", "state.postgresql", "v1", ALL],
    ["PostgreSQL `v1`, MySQL", "state.mysql", "v1", ALL],
    ["PostgreSQL `v1`, MySQL, CockroachDB", "state.cockroachdb", "v2", ALL],
    ["etcd", "state.etcd", "v2", ALL],
    ["MongoDB", "state.mongodb", "v1", ALL],
    ["memcached", "state.memcached", "v1", ["TTL"]],
    ["memcached, and whatever has no etags", "state.other", "v1", ["TTL"]]
  ]
  for (const [row, type, version, capabilities] of cases) {
    plain(`says of ${type}/${version} what the start does`, () => {
      const does = judge({ name: "statestore", type, version, capabilities })._tag.toLowerCase()
      expect(verdictOf(row).replace("recommended", "tested")).toBe(does)
    })
  }
})

describe("compose.yaml", () => {
  const { services } = compose
  const environmentOf = (name: string): Record<string, string> => {
    const given = services[name].environment as Record<string, string>
    return Object.fromEntries(
      Object.entries(given).map(([key, value]) => [key, value.startsWith("${") ? "a-token-for-the-tests" : value])
    )
  }
  const flag = (name: string): string =>
    services["sidecar-1"].command.find((word: string) => word.startsWith(`--${name}=`)).split("=")[1]

  plain("has two instances, each in a network with its own sidecar, which is stopped after it", () => {
    for (const n of [1, 2]) {
      const [manager, sidecar] = [services[`manager-${n}`], services[`sidecar-${n}`]]
      expect(manager.network_mode).toBe(`service:pod-${n}`)
      expect(sidecar.network_mode).toBe(`service:pod-${n}`)
      expect(Object.keys(manager.depends_on)).toEqual([`sidecar-${n}`])
      expect(sidecar.depends_on).toEqual({ redis: { condition: "service_healthy" } })
      expect(services[`pod-${n}`].hostname).toBe(manager.environment.WSM_INSTANCE_ID)
    }
    expect(services["manager-1"].environment.WSM_INSTANCE_ID).not.toBe(
      services["manager-2"].environment.WSM_INSTANCE_ID
    )
    expect(Object.keys(services).toSorted()).toEqual(
      ["redis", "pod-1", "sidecar-1", "manager-1", "pod-2", "sidecar-2", "manager-2"].toSorted()
    )
  })

  plain("its settings are right, its tokens are asked for, its ports are this machine's alone", () => {
    for (const name of ["manager-1", "manager-2"]) {
      const settings = settingsOf(environmentOf(name))
      expect(settings).toMatchObject({ backing: "dapr", host: "0.0.0.0" })
      for (const token of ["WSM_API_TOKEN", "DAPR_API_TOKEN", "APP_API_TOKEN"]) {
        expect(services[name].environment[token]).toMatch(new RegExp(`^\\$\\{${token}:\\?`))
      }
    }
    expect(Object.keys(services["sidecar-1"].environment)).toEqual([
      "DAPR_API_TOKEN",
      "APP_API_TOKEN",
      "REDIS_PASSWORD"
    ])
    expect(services.redis.command.join(" ")).toMatch(/--requirepass \$\{REDIS_PASSWORD:\?/)
    expect(services.redis.environment.REDISCLI_AUTH).toMatch(/^\$\{REDIS_PASSWORD:\?/)
    expect([...services["pod-1"].ports, ...services["pod-2"].ports].every((port: string) => port.startsWith("127.0.0.1:"))).toBe(true) // prettier-ignore
  })

  plain("says where secrets may go, as the manifest does: nowhere else", () => {
    for (const given of [environmentOf("manager-1"), environmentOf("manager-2")]) {
      expect([...settingsOf(given).secretHosts]).toEqual([["feed", ["wss://feed.example.com"]]])
    }
    const [container] = ofKind("StatefulSet").spec.template.spec.containers
    const listed = container.env.find((entry: Document) => entry.name === "WSM_SECRET_HOSTS").value
    expect(ofKind("Role").rules[0].resourceNames).toEqual([listed.split("=")[0]])
  })

  plain("gives no container more than it needs, and no other one the sidecar's ports", () => {
    for (const name of ["pod-1", "sidecar-1", "manager-1", "pod-2", "sidecar-2", "manager-2"]) {
      expect(services[name], name).toMatchObject({ read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] }) // prettier-ignore
    }
    expect(flag("dapr-listen-addresses")).toBe("127.0.0.1")
    expect(flag("dapr-internal-grpc-listen-address")).toBe("127.0.0.1")
  })

  plain("keeps its records in a Redis that evicts nothing and outlives itself", () => {
    const command = services.redis.command.join(" ")
    expect(command).toContain("--maxmemory-policy noeviction")
    expect(command).toContain("--appendonly yes")
    expect(services.redis.volumes).toEqual(["redis:/data"])
    expect(services.redis.healthcheck.test).toContain("ping")
  })

  plain("drains within the time that everything around it gives", () => {
    for (const name of ["manager-1", "sidecar-1", "manager-2", "sidecar-2"]) {
      const [block, graceful] = [flag("dapr-block-shutdown-duration"), flag("dapr-graceful-shutdown-seconds")]
      inOrder(settingsOf(environmentOf("manager-1")), seconds(block), seconds(graceful), seconds(services[name].stop_grace_period)) // prettier-ignore
    }
  })

  plain("runs the sidecar that the tests build, and its body limit is that of a publish request", () => {
    const version = /^\tgithub\.com\/dapr\/dapr v(\S+)$/m.exec(textOf("test/daprd/go.mod"))![1]
    expect(services["sidecar-1"].image).toBe(`daprio/daprd:${version}`)
    const { publishMaxBytes } = settingsOf(environmentOf("manager-1"))
    expect(flag("max-body-size")).toBe(`${publishMaxBytes / 2 ** 20}Mi`)
  })
})

describe("the Kubernetes manifest", () => {
  const set = ofKind("StatefulSet")
  const pod = set.spec.template
  const [container] = pod.spec.containers
  const annotations = pod.metadata.annotations as Record<string, string>
  const value = ({ value, valueFrom }: Document): string =>
    value ?? (valueFrom.fieldRef === undefined ? "a-token-for-the-tests" : valueFrom.fieldRef.fieldPath === "status.podIP" ? "10.0.0.7" : "websocketmanager-0") // prettier-ignore
  const env: Record<string, string> = Object.fromEntries(
    container.env.map((entry: Document) => [entry.name, value(entry)])
  )
  const fieldOf = (name: string) =>
    container.env.find((entry: Document) => entry.name === name).valueFrom?.fieldRef?.fieldPath

  plain("its settings are right; the instance is named after its pod and found by the pod's address", () => {
    const { NODE_OPTIONS: _, POD_IP: __, ...ours } = env
    const known = new Set(KEYS.map((key) => CATALOGUE[key].env))
    expect(Object.keys(ours).filter((name) => !known.has(name))).toEqual([])
    expect(settingsOf(env)).toMatchObject({ backing: "dapr", host: "0.0.0.0", instanceId: "websocketmanager-0" })
    expect(fieldOf("WSM_INSTANCE_ID")).toBe("metadata.name")
    expect(fieldOf("POD_IP")).toBe("status.podIP")
    expect(set.spec.serviceName).toBe(kubernetes.find((d) => d.spec?.clusterIP === "None").metadata.name)
  })

  plain("its tokens come from secrets, the same for both sides", () => {
    const secretOf = (name: string) =>
      container.env.find((entry: Document) => entry.name === name).valueFrom.secretKeyRef
    expect(secretOf("WSM_API_TOKEN").name).toBe("websocketmanager")
    expect(secretOf("DAPR_API_TOKEN")).toEqual({ name: annotations["dapr.io/api-token-secret"], key: "token" })
    expect(secretOf("APP_API_TOKEN")).toEqual({ name: annotations["dapr.io/app-token-secret"], key: "token" })
  })

  plain("the sidecar calls the gRPC port, asks it for health, and takes what a publish request may hold", () => {
    const settings = settingsOf(env)
    const ports = Object.fromEntries(container.ports.map((port: Document) => [port.name, port.containerPort]))
    expect(ports).toEqual({ http: settings.httpPort, grpc: settings.grpcPort })
    expect(annotations).toMatchObject({
      "dapr.io/enabled": "true",
      "dapr.io/app-port": `${settings.grpcPort}`,
      "dapr.io/app-protocol": "grpc",
      "dapr.io/enable-app-health-check": "true",
      "dapr.io/max-body-size": `${settings.publishMaxBytes / 2 ** 20}Mi`
    })
    expect(annotations["dapr.io/config"]).toBe(
      clusterComponents.find(({ kind }) => kind === "Configuration").metadata.name
    )
    const scopes = clusterComponents.flatMap((d) => d.scopes ?? [])
    expect(new Set(scopes)).toEqual(new Set([annotations["dapr.io/app-id"]]))
  })

  plain("drains before the sidecar goes, and that before the pod is killed", () => {
    const [block, graceful] = ["block-shutdown-duration", "graceful-shutdown-seconds"].map((name) => annotations[`dapr.io/${name}`]!) // prettier-ignore
    expect(seconds(block!)).toBe(45)
    expect(pod.spec.terminationGracePeriodSeconds).toBe(60)
    inOrder(settingsOf(env), seconds(block!), seconds(graceful!), pod.spec.terminationGracePeriodSeconds)
  })

  plain("is probed at the HTTP port: alive at /health/live, ready at /health/ready", () => {
    const probe = (name: string) => container[`${name}Probe`].httpGet
    expect(probe("liveness")).toEqual({ path: "/health/live", port: "http" })
    expect(probe("startup")).toEqual({ path: "/health/live", port: "http" })
    expect(probe("readiness")).toEqual({ path: "/health/ready", port: "http" })
    // a start may wait for the sidecar this long
    const { failureThreshold, periodSeconds } = container.startupProbe
    expect(failureThreshold * periodSeconds).toBeGreaterThan(Duration.toSeconds(settingsOf(env).daprWait))
  })

  plain("one leaves at a time, none as root, and everything that selects pods selects these", () => {
    expect(ofKind("PodDisruptionBudget").spec.maxUnavailable).toBe(1)
    expect(pod.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
    expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    const labels = { app: pod.metadata.labels.app }
    for (const d of kubernetes.filter(({ kind }) => kind === "Service")) expect(d.spec.selector).toEqual(labels)
    expect(ofKind("PodDisruptionBudget").spec.selector.matchLabels).toEqual(labels)
    expect(set.spec.selector.matchLabels).toEqual(labels)
    expect(ofKind("RoleBinding").subjects[0].name).toBe(pod.spec.serviceAccountName)
    expect(ofKind("RoleBinding").roleRef.name).toBe(ofKind("Role").metadata.name)
  })

  plain(
    "is reached by its own, by those who carry the callers' label, and by what scrapes it, and by nobody else",
    () => {
      const { ingress, podSelector, policyTypes } = ofKind("NetworkPolicy").spec
      expect(policyTypes).toEqual(["Ingress"])
      expect(podSelector.matchLabels).toEqual({ app: pod.metadata.labels.app })
      const named = new Set(container.ports.map((port: Document) => port.name))
      for (const { from, ports } of ingress) {
        expect(from).toHaveLength(1)
        expect(ports.length).toBeGreaterThan(0)
        for (const { port } of ports) if (typeof port === "string") expect(named).toContain(port)
      }
      const [own] = ingress
      expect(own.from[0].podSelector.matchLabels).toEqual({ app: pod.metadata.labels.app })
    }
  )

  plain("the manager has no token of the cluster; its sidecar has, by a volume of its own", () => {
    expect(pod.spec.automountServiceAccountToken).toBe(false)
    const [volume] = pod.spec.volumes
    expect(annotations["dapr.io/volume-mounts"]).toBe(`${volume.name}:/var/run/secrets/kubernetes.io/serviceaccount`)
    expect(container.volumeMounts).toBe(undefined)
  })

  plain("lets through Dapr only the applications that are named", () => {
    const { accessControl } = clusterComponents.find(({ kind }) => kind === "Configuration").spec
    expect(accessControl.defaultAction).toBe("deny")
    expect(accessControl.policies.map((policy: Document) => policy.defaultAction)).toEqual(["allow"])
  })

  plain("has memory for the connections and buffers that it allows", () => {
    const { bufferMaxBytes, maxConnections } = settingsOf(env)
    const limit = Number(/^(\d+)Gi$/.exec(container.resources.limits.memory)![1]) * 2 ** 30
    const heap = Number(/--max-old-space-size=(\d+)/.exec(env["NODE_OPTIONS"]!)![1]) * 2 ** 20
    expect(maxConnections * 30_000 + bufferMaxBytes + 2 ** 28).toBeLessThan(limit)
    expect(heap + bufferMaxBytes).toBeLessThan(limit)
  })
})

requiring("daprd", "redis")("what compose.yaml and the manifest say to a sidecar", () => {
  /** Of compose: as it stands, only where it is run. */
  const composeFlags = (folder: string): ReadonlyArray<string> =>
    (compose.services["sidecar-1"].command as ReadonlyArray<string>)
      .slice(1)
      .map((word) => word.replace("/dapr-components", folder))
  /** As Dapr's injector makes flags of annotations. */
  const annotationFlags = (): ReadonlyArray<string> => {
    const given = ofKind("StatefulSet").spec.template.metadata.annotations as Record<string, string>
    const FLAGS = /^dapr\.io\/(app-(?:id|port|protocol|health-.*)|enable-app-health-check|max-body-size)$/
    const PREFIXED = /^dapr\.io\/((?:block|graceful)-shutdown-.*)$/
    return Object.entries(given).flatMap(([name, value]) => {
      const flag = FLAGS.exec(name)?.[1] ?? PREFIXED.exec(name)?.[1]?.replace(/^/, "dapr-")
      return flag === undefined ? [] : [`--${flag}=${value}`]
    })
  }

  it.scopedLive("is understood by a real one, which loads the components of compose", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const folder = yield* deployed({
        "redis:6379": `127.0.0.1:${redis.port}`,
        "/run/secrets/feeds": "dapr-components/secrets/example.json"
      })
      expect(annotationFlags()).toHaveLength(10)
      for (const flags of [composeFlags(folder), [...composeFlags(folder), ...annotationFlags()]]) {
        const sidecar = yield* startSidecar({
          appId: "websocketmanager",
          flags,
          components: ["statestore", "pubsub", "secretstore"],
          apiToken: "a-token",
          appToken: "another"
        })
        expect(yield* sidecar.logs).not.toMatch(/level=(error|fatal)/)
      }
    })
  )
})
