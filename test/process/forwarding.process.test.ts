/** Two processes over one data directory: calls at the one about connections of the other, whose process is killed. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { start } from "../cli/runWsm.js"
import { connect, startPeer } from "../e2e/doorConnections.js"
import { type Door, type DoorName, DOORS, openDoors, type Refused, refused, until } from "../support/Doors.js"
import type { ScriptedServer } from "../support/ScriptedServer.js"
import { temporaryDirectory } from "../support/temporaryDirectory.js"

const SIZE = 16 * 1024 * 1024
const MESSAGE = Buffer.alloc(SIZE)
for (let i = 0; i < SIZE; i += 997) MESSAGE[i] = i % 256
const BINARY = { contentType: "application/octet-stream", correlation: { mode: "CORRELATION_MODE_NEXT" } } as const

interface Instance {
  readonly process: Awaited<ReturnType<typeof start>>
  readonly doors: Readonly<Record<DoorName, Door>>
  readonly httpUrl: string
}

const scope = Effect.runSync(Scope.make())
const directory = Effect.runSync(Scope.extend(temporaryDirectory, scope))
const instances: Array<Instance> = []
let peers: ScriptedServer

const serve = async (name: string): Promise<Instance> => {
  const flags = ["--http-port", "0", "--grpc-port", "0", "--data-dir", directory, "--instance-id", name]
  const process = await start(["serve", ...flags, "--dial-rate-per-host", "1000 per second"])
  const [, httpUrl = "", grpcAddress = ""] = await process.line(/http (\S+) {2}grpc (\S+) /)
  const instance = { process, httpUrl, doors: openDoors({ httpUrl, grpcAddress }) }
  instances.push(instance)
  return instance
}

let owner: Instance
let other: Instance
beforeAll(async () => {
  peers = await startPeer()
  ;[owner, other] = await Promise.all([serve("owner"), serve("other")])
  await until(
    async () => (await other.doors["rpc-ws"].call("ListInstances", {})).instances.length === 2,
    "they see each other",
    20_000
  )
})
afterAll(async () => {
  for (const { doors, process } of instances) {
    await Promise.all(DOORS.map((name) => doors[name].close()))
    process.child.kill("SIGKILL")
    await process.ended
  }
  await peers.stop()
  await Effect.runPromise(Scope.close(scope, Exit.void))
})

describe("two processes", () => {
  it.each(DOORS)("over %s a message of 16 MiB goes to the owner and its reply comes back", async (name) => {
    const { id } = await connect(owner.doors["rpc-ws"], peers, "/echo")
    const { response } = await other.doors[name].call("Send", { id, message: MESSAGE, timeoutMs: 50_000, ...BINARY })
    expect(Buffer.compare(Buffer.from(response), MESSAGE)).toBe(0)
    await other.doors[name].call("Disconnect", { id })
  })

  it("a forwarded call is counted at the door it came by, and at the owner as a peer's", async () => {
    const { id } = await connect(owner.doors["rpc-ws"], peers, "/counted")
    await other.doors.grpc.call("Reconnect", { id })
    const count = async (httpUrl: string, door: string) => {
      const metrics = await (await fetch(`${httpUrl}/metrics`)).text()
      const line = `websocketmanager_rpc_seconds_count{door="${door}",method="Reconnect",code="OK"} `
      return Number(
        metrics
          .split("\n")
          .find((one) => one.startsWith(line))
          ?.slice(line.length) ?? 0
      )
    }
    expect(await count(other.httpUrl, "grpc")).toBe(1)
    expect(await count(owner.httpUrl, "peer")).toBe(1)
    expect(await count(owner.httpUrl, "grpc")).toBe(0)
  })

  it("a hundred Sends whose owner is killed end in SendAborted, and tell truly whether each was sent", async () => {
    const { id, peer } = await connect(owner.doors["rpc-ws"], peers, "/silent")
    const message = (i: number) => Buffer.from(`{"id":"kill-${i}"}`)
    const sends = Array.from({ length: 100 }, (_, i) =>
      refused(other.doors[DOORS[i % 3]!].call("Send", { id, message: message(i), timeoutMs: 50_000 }))
    )
    await peers.until(() => peer.frames.length === 100, 15_000)
    owner.process.child.kill("SIGKILL")
    const ended: ReadonlyArray<Refused> = await Promise.all(sends)
    await owner.process.ended
    // all of them had left; the owner had not told the last ones yet
    expect(new Set(ended.map(({ fields, tag }) => `${tag} ${fields.id}`))).toEqual(new Set([`SendAborted ${id}`]))
    expect(ended.filter(({ fields }) => fields.sent !== "yes" && fields.sent !== "unknown")).toEqual([])
    expect(ended.filter(({ fields }) => fields.sent === "yes").length).toBeGreaterThan(0)
  })

  it("what the dead one owned is open again at the other, and calls go on", async () => {
    const listed = async () =>
      (await other.doors["rpc-ws"].call("List", { urlPrefix: `${peers.url}/silent` })).connections
    await until(
      async () =>
        (await listed()).every(
          ({ instanceId, status }) => instanceId === "other" && status === "CONNECTION_STATUS_CONNECTED"
        ),
      "taken over",
      15_000
    )
    expect(await listed()).toHaveLength(1)
  })
})
