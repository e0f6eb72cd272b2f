/** A real sidecar on a real Redis, both on free loopback ports, with what each has cost the processor so far. */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { openRedis } from "./resp.mjs"
import { sleep } from "./stats.mjs"

export const STATE = "statestore"
export const PUBSUB = "pubsub"
const BUILD = fileURLToPath(new URL("../../daprd/build.mjs", import.meta.url))
const START_MS = 15_000

/** What is missing to start them, in words; undefined: nothing. */
export const lack = () => {
  if (spawnSync("redis-server", ["--version"]).status !== 0) return "redis-server is not installed"
  return daprd() === undefined
    ? "there is no daprd: `npm run build:daprd` builds one, DAPRD=/path names one"
    : undefined
}

const daprd = () => {
  const { status, stdout } = spawnSync(process.execPath, [BUILD, "--cached"], { encoding: "utf8" })
  return status === 0 ? stdout.trim() : undefined
}

/** @typedef {Awaited<ReturnType<typeof startDapr>>} Dapr */

export const startDapr = async () => {
  const folder = mkdtempSync(join(tmpdir(), "wsm-bench-"))
  const [redisPort, httpPort, grpcPort, internalPort, metricsPort, profilePort] = await freePorts(6)
  const processes = []
  const stop = async () => {
    for (const child of processes.splice(0).toReversed()) await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const server = run("redis-server", {
      port: redisPort,
      bind: "127.0.0.1",
      dir: folder,
      save: "",
      appendonly: "no",
      "maxmemory-policy": "noeviction"
    })
    processes.push(server)
    await until(server, async () => (await openRedis(redisPort)).close())
    const resources = join(folder, "resources")
    mkdirSync(resources)
    const redisHost = { redisHost: `127.0.0.1:${redisPort}`, redisPassword: "" }
    const state = { ...redisHost, redisMaxRetries: "-1", keyPrefix: "none" }
    writeFileSync(join(resources, "state.yaml"), component(STATE, "state.redis", state))
    writeFileSync(join(resources, "pubsub.yaml"), component(PUBSUB, "pubsub.redis", { ...redisHost, concurrency: "1" }))
    const sidecar = run(daprd(), {
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
    processes.push(sidecar)
    await until(sidecar, async () => {
      const { status } = await fetch(`http://127.0.0.1:${httpPort}/v1.0/healthz/outbound`)
      const { components = [] } = await (await fetch(`http://127.0.0.1:${httpPort}/v1.0/metadata`)).json()
      if (status !== 204 || components.length < 2) throw new Error("not yet")
    })
    const redis = await openRedis(redisPort)
    return {
      /** where a worker finds it */
      address: { httpPort, grpcPort, redisPort },
      redis,
      /** processor time so far, microseconds */
      cpu: () => ({ sidecar: cpuOf(sidecar.pid), redis: cpuOf(server.pid) }),
      /** operations on the state store so far, by kind, as the sidecar counts them */
      stateOperations: async () => {
        const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
        return operationsIn(text)
      },
      stop: async () => {
        redis.close()
        await stop()
      }
    }
  } catch (error) {
    await stop()
    throw error
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

const run = (command, options) =>
  spawn(
    command,
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]),
    {
      stdio: "ignore",
      // Where there is no interface but loopback, it ends without.
      env: { ...process.env, DAPR_HOST_IP: "127.0.0.1" }
    }
  )

const end = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve(undefined)
    child.on("exit", resolve)
    child.kill("SIGKILL")
  })

const until = async (child, ready) => {
  const deadline = Date.now() + START_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`)
    try {
      return await ready()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await sleep(30)
  }
}

const freePorts = async (count) => {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.on("listening", resolve))))
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

const TICKS = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }))

/** Behind the name, which may hold anything: fields 14 and 15, in ticks. @param {number} pid */
const cpuOf = (pid) => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6
}
