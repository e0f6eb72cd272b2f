/** Real sidecars on a real Redis, all on free loopback ports, with what each has cost the processor so far. */
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { cpuOf, freePorts, inFolder, run, until } from "./processes.mjs"
import { Resp } from "../../support/Resp.mjs"

export const STATE = "statestore"
export const PUBSUB = "pubsub"
const BUILD = fileURLToPath(new URL("../../daprd/build.mjs", import.meta.url))

/** What is missing to start them, in words; undefined: nothing. */
export const lack = () => {
  const lacks = [
    ...(spawnSync("redis-server", ["--version"]).status === 0
      ? []
      : ["no redis-server (apt-get install redis-server)"]),
    ...(daprd() === undefined ? ["no daprd (`npm run build:daprd` builds one, DAPRD=/path names one)"] : [])
  ]
  return lacks.length === 0 ? undefined : `there is ${lacks.join(", and ")}`
}

const daprd = () => {
  const { status, stdout } = spawnSync(process.execPath, [BUILD, "--cached"], { encoding: "utf8" })
  return status === 0 ? stdout.trim() : undefined
}

/** @typedef {Awaited<ReturnType<typeof startDapr>>} Dapr */

/** A Redis that keeps nothing on disk. */
export const startRedis = () =>
  inFolder(async (folder, started) => {
    const [port] = await freePorts(1)
    const server = started(
      run("redis-server", {
        port,
        bind: "127.0.0.1",
        dir: folder,
        save: "",
        appendonly: "no",
        "maxmemory-policy": "noeviction"
      })
    )
    const client = await until(server, () => Resp.connect(port))
    return { port, client, pid: server.pid }
  })

/** A sidecar whose store and broker are that Redis. */
export const startSidecar = (/** @type {number} */ redisPort) =>
  inFolder(async (folder, started) => {
    const [httpPort, grpcPort, internalPort, metricsPort, profilePort] = await freePorts(5)
    const resources = join(folder, "resources")
    mkdirSync(resources)
    const redisHost = { redisHost: `127.0.0.1:${redisPort}`, redisPassword: "" }
    const state = { ...redisHost, redisMaxRetries: "-1", keyPrefix: "none" }
    writeFileSync(join(resources, "state.yaml"), component(STATE, "state.redis", state))
    writeFileSync(join(resources, "pubsub.yaml"), component(PUBSUB, "pubsub.redis", { ...redisHost, concurrency: "1" }))
    const sidecar = started(
      run(daprd(), {
        "app-id": "wsm",
        "resources-path": resources,
        "log-level": "error",
        "dapr-http-port": httpPort,
        "dapr-grpc-port": grpcPort,
        "dapr-listen-addresses": "127.0.0.1",
        "dapr-internal-grpc-port": internalPort,
        "dapr-internal-grpc-listen-address": "127.0.0.1",
        "metrics-port": metricsPort,
        "metrics-listen-address": "127.0.0.1",
        "profile-port": profilePort
      })
    )
    await until(sidecar, async () => {
      const { status } = await fetch(`http://127.0.0.1:${httpPort}/v1.0/healthz/outbound`)
      const { components = [] } = await (await fetch(`http://127.0.0.1:${httpPort}/v1.0/metadata`)).json()
      if (status !== 204 || components.length < 2) throw new Error("not yet")
    })
    return {
      httpPort,
      grpcPort,
      pid: sidecar.pid,
      signal: (/** @type {NodeJS.Signals} */ signal) => sidecar.kill(signal),
      /** operations on the state store so far, by kind, as it counts them */
      stateOperations: async () => {
        const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
        return operationsIn(text)
      }
    }
  })

export const startDapr = async () => {
  const redis = await startRedis()
  const sidecar = await startSidecar(redis.port).catch(async (error) => {
    await redis.stop()
    throw error
  })
  const { grpcPort, httpPort, stateOperations } = sidecar
  return {
    /** where a worker finds it */
    address: { httpPort, grpcPort, redisPort: redis.port },
    redis: redis.client,
    /** processor time so far, microseconds */
    cpu: () => ({ sidecar: cpuOf(sidecar.pid), redis: cpuOf(redis.pid) }),
    stateOperations,
    stop: async () => {
      await sidecar.stop()
      await redis.stop()
    }
  }
}

/** @param {string} text */
const operationsIn = (text) => {
  /** @type {Record<string, number>} */
  const counts = {}
  for (const [, labels, value] of text.matchAll(/^dapr_component_state_count\{(.*)\} (\S+)$/gm)) {
    const operation = /operation="([^"]*)"/.exec(labels)?.[1] ?? ""
    counts[operation] = (counts[operation] ?? 0) + Number(value)
  }
  return counts
}

const component = (name, type, metadata) => `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: ${name} }
spec:
  type: ${type}
  version: v1
  metadata:
${Object.entries(metadata)
  .map(([key, value]) => `    - { name: ${key}, value: ${JSON.stringify(value)} }`)
  .join("\n")}
`
