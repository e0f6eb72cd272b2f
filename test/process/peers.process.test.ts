/** Who is no instance of the fleet, or lies as one, tried from outside on real processes: strangers, callers, store writers, relays. */
import { once } from "node:events"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import Database from "libsql"
import { Packr } from "msgpackr"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import * as FileState from "../../src/adapters/embedded/FileState.js"
import * as PeerSocket from "../../src/adapters/peers/PeerSocket.js"
import { uuidv7 } from "../../src/common/Uuid.js"
import { INDEX_KEY, instanceKey } from "../../src/domain/stored/Keys.js"
import type { Peer } from "../../src/ports/Peers.js"
import { StateStore } from "../../src/ports/StateStore.js"
import { freshNonce, keyOf, openingText, PEER_SUBPROTOCOL } from "../../src/rpc/PeerProof.js"
import { built } from "../cli/runWsm.js"
import { PEER_CA, PEER_CERT, PEER_KEY } from "../support/peerCertificates.js"
import { ScriptedServer } from "../support/ScriptedServer.js"
import { StallingProxy } from "../support/StallingProxy.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"
import { afterwards, cleanUp, Instance, logOf, sleep, temporaryFolder, until } from "./instanceProcess.js"

const TOKEN = "the-token-of-all-callers"
const SECRET = "the-secret-of-this-fleet"
const FAST = { WSM_HEARTBEAT_INTERVAL: "500 millis", WSM_HEARTBEAT_TTL: "2 seconds" }

beforeAll(built, 120_000)
afterEach(cleanUp)

const scoped = async <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> => {
  const scope = Effect.runSync(Scope.make())
  afterwards(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(Scope.extend(effect, scope))
}

const feed = async (): Promise<ScriptedServer> => {
  const server = await ScriptedServer.start()
  afterwards(() => server.stop())
  return server
}

const peersUrl = (url: string): string => `${url.replace(/^http/, "ws")}/rpc/peers`

/** A WebSocket at the peers' door, and what came of it. */
const knock = (url: string, protocols: Array<string> = [PEER_SUBPROTOCOL], headers: Record<string, string> = {}) => {
  const ws = new WebSocket(peersUrl(url), protocols, { headers })
  afterwards(() => ws.terminate())
  const heard: Array<string> = []
  const end = new Promise<number>((resolve) => {
    ws.on("error", () => {})
    ws.on("unexpected-response", (_, response) => resolve(response.statusCode ?? 0))
    ws.on("close", resolve)
  })
  ws.on("message", (data) => heard.push(data.toString()))
  return { ws, heard, end, challenged: () => until(() => heard.length > 0, "the challenge") }
}

const liar = (address = "http://127.0.0.1:9"): Peer => ({ id: "liar", incarnation: uuidv7(Date.now()), address })

/** As an instance that has the secret, and may say what it likes. */
const proved = (to: string, me: Peer, secret = SECRET) =>
  scoped(
    PeerSocket.make(to, { keys: [keyOf(secret)], me, secureOnly: false, tls: undefined, pingMs: 2000, silentPings: 99 })
  )

const rssOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))![1]) / 1024

/** Somebody who may write to the store: a record that beats, and an entry of the index. */
const writeRow = async (folder: string, { address, id, incarnation }: Peer): Promise<void> => {
  const store = Context.get(await scoped(Layer.build(FileState.layer(folder))), StateStore)
  const put = (key: string, change: (old: any) => unknown) =>
    Effect.runPromise(
      Effect.gen(function* () {
        const found = yield* store.get(key)
        const value = JSON.stringify(change(Option.isSome(found) ? JSON.parse(found.value.value) : {}))
        yield* Option.isSome(found) ? store.replace(key, value, found.value.version) : store.create(key, value)
      }).pipe(Effect.retry({ times: 20 }))
    )
  const record = { v: 1, id, incarnation, address, status: "alive", startedAt: "", bootId: "x", pidNamespace: "x", pid: 1, processStart: "1", beat: 1, intervalMs: 500, ttlMs: 60_000, connections: 0, nonce: "liar" } // prettier-ignore
  await put(instanceKey(id), () => record)
  await put(INDEX_KEY, (index) => ({ ...index, ids: { ...index.ids, [id]: incarnation }, nonce: "liar" }))
}

/** The store answers nobody for so long. */
const storeAway = async (folder: string, millis: number): Promise<void> => {
  const database = new Database(join(folder, "state.db"))
  database.exec("begin exclusive")
  await sleep(millis)
  database.exec("rollback")
  database.close()
}

const lines = (instance: Instance): ReadonlyArray<string> => logOf(instance.process).map(({ message }) => message)

describe("at the peers' door", { timeout: 120_000 }, () => {
  it("the API token opens nothing; before its proof nobody is told more than a challenge, may send much, or stay", async () => {
    const instance = await Instance.up({ WSM_DATA_DIR: temporaryFolder(), WSM_API_TOKEN: TOKEN, ...FAST })
    const bearer = { authorization: `Bearer ${TOKEN}` }
    expect(await knock(instance.url, [], bearer).end).toBe(426)
    expect(await knock(instance.url, [PEER_SUBPROTOCOL], { origin: "http://127.0.0.1:1" }).end).toBe(403)
    const hello = { _tag: "Request", id: "1", tag: "PeerHello", payload: { from: liar() }, headers: [] }
    for (const [what, ends] of [
      [new Packr({ useRecords: false }).pack(hello), 1008],
      [JSON.stringify({ nonce: "x", proofs: [] }), 1008],
      ["x".repeat(200_000), 1006],
      [undefined, 1006]
    ] as const) {
      const caller = knock(instance.url, [PEER_SUBPROTOCOL], bearer)
      await caller.challenged()
      if (what !== undefined) caller.ws.send(what)
      expect(await caller.end).toBe(ends)
      expect(caller.heard).toHaveLength(1)
    }
    // one that knows the token alone cannot prove more than that
    await expect(proved(instance.url, liar(), TOKEN)).rejects.toThrow(/WSM_PEER_SECRET/)
  })

  it("a proof that was recorded is worth nothing the next time, nor one for another address", async () => {
    const instance = await Instance.up({ WSM_DATA_DIR: temporaryFolder(), WSM_PEER_SECRET: SECRET, ...FAST })
    const me = liar()
    const opened = (to: string, challenge: string) =>
      openingText([keyOf(SECRET)], { nonce: freshNonce(), peer: me, to }, challenge)!
    const first = knock(instance.url)
    await first.challenged()
    const recorded = opened(instance.url, first.heard[0]!)
    first.ws.send(recorded)
    await until(() => first.heard.length === 2, "it is let in")
    const again = knock(instance.url)
    await again.challenged()
    again.ws.send(recorded)
    expect(await again.end).toBe(1008)
    const elsewhere = knock(instance.url)
    await elsewhere.challenged()
    elsewhere.ws.send(opened("http://127.0.0.1:9", elsewhere.heard[0]!))
    expect(await elsewhere.end).toBe(1008)
    expect([again.heard.length, elsewhere.heard.length]).toEqual([1, 1])
  })

  it("many who say nothing do not keep a peer out", async () => {
    const instance = await Instance.up({ WSM_DATA_DIR: temporaryFolder(), WSM_PEER_SECRET: SECRET, ...FAST })
    const crowd = Array.from({ length: 200 }, () => knock(instance.url))
    await Promise.all(crowd.slice(0, 100).map(({ end }) => end))
    const session = await proved(instance.url, liar())
    expect(session.isOpen()).toBe(true)
  })

  it("hellos of 20 MiB, of whatever grammar is none, and for somebody else, are refused and not kept", async () => {
    const instance = await Instance.start({ WSM_DATA_DIR: temporaryFolder(), WSM_PEER_SECRET: SECRET, ...FAST })
    const me = liar()
    const session = await proved(instance.url, me)
    const hello = (from: Partial<Peer>) =>
      Effect.runPromise(Effect.exit(session.unary("PeerHello", { from: { ...me, ...from } }, {})))
    const said = await hello({})
    expect(Exit.isSuccess(said) && said.value).toMatchObject({ counted: false })
    for (const from of [
      { id: "_index" },
      { id: "i".repeat(200) },
      { id: "another" },
      { incarnation: "evil-1" },
      { incarnation: uuidv7(1) },
      { address: "file:///etc/passwd" },
      { address: `http://127.0.0.1:9/${"a".repeat(300)}` },
      { address: "http://127.0.0.1:10" }
    ]) {
      expect([from, Exit.isFailure(await hello(from))]).toEqual([from, true])
    }
    const before = rssOf(instance.process.child.pid!)
    for (let i = 0; i < 40; i++) {
      const large = `${i}${"x".repeat(20 * 1024 * 1024)}`
      expect(Exit.isFailure(await hello(i % 2 === 0 ? { incarnation: large } : { id: large }))).toBe(true)
    }
    const after = rssOf(instance.process.child.pid!)
    process.stderr.write(`  40 hellos of 20 MiB: RSS ${before.toFixed(0)} -> ${after.toFixed(0)} MiB\n`)
    expect(after - before).toBeLessThan(400)
    expect((await fetch(`${instance.url}/health/ready`)).status).toBe(200)
  })
})

describe("who lies", { timeout: 120_000 }, () => {
  it("the store away for everybody: no hello of anybody closes a socket", async () => {
    const folder = temporaryFolder()
    const server = await feed()
    const instance = await Instance.start({ WSM_DATA_DIR: folder, WSM_PEER_SECRET: SECRET, ...FAST })
    const { id } = await instance.connect({ url: server.url, awaitOpen: true })
    const events = await instance.watch()
    let said = 0
    const names = [liar(), { ...liar(), id: instance.id }, { ...liar(), id: "another-1" }]
    const sessions = await Promise.all(names.map((me) => proved(instance.url, me)))
    const lying = setInterval(() => {
      for (const [i, from] of names.entries()) {
        void Effect.runPromise(Effect.exit(sessions[i]!.unary("PeerHello", { from }, {}))).then(() => said++)
      }
    }, 300)
    afterwards(() => clearInterval(lying))
    await until(() => said > 3, "they are heard")
    await storeAway(folder, 8_000)
    await sleep(1_000)
    expect(said).toBeGreaterThan(30)
    expect(events.filter(({ connectionId }) => connectionId === id).map(({ type }) => type)).toEqual([])
    expect((await instance.get(id)).epoch).toBe((await instance.list())[0]!.epoch)
    expect(lines(instance).filter((line) => /lease is lost|fenced/.test(line))).toEqual([])
  })

  it("a record and an index entry with my address get no token, no secret, and nothing but a proof", async () => {
    const folder = temporaryFolder()
    const requests: Array<IncomingMessage> = []
    const got: Array<string> = []
    const server = createServer()
    const sockets = new WebSocketServer({ server, handleProtocols: () => PEER_SUBPROTOCOL })
    sockets.on("connection", (ws, request) => {
      requests.push(request)
      ws.on("message", (data) => {
        got.push(data.toString())
        // as if it had the secret
        ws.send(JSON.stringify({ ...liar(address), proof: "A".repeat(43) }))
        ws.send(
          new Packr().pack({ _tag: "Exit", requestId: "0", exit: { _tag: "Success", value: { verdict: "fenced" } } })
        )
      })
      ws.send(JSON.stringify({ nonce: freshNonce() }))
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    afterwards(() => (server.closeAllConnections(), server.close()))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const env = { WSM_DATA_DIR: folder, WSM_API_TOKEN: TOKEN, WSM_PEER_SECRET: SECRET, ...FAST }
    const instance = await Instance.start(env)
    await writeRow(folder, liar(address))
    await until(() => got.length > 2, "it is dialled")
    await storeAway(folder, 1_500)
    const all = JSON.stringify([requests.map(({ headers, url }) => [headers, url]), got])
    expect(all).not.toContain(TOKEN)
    expect(all).not.toContain(SECRET)
    expect(requests.some(({ headers }) => headers.authorization !== undefined)).toBe(false)
    for (const text of got) expect(Object.keys(JSON.parse(text)).sort()).toEqual(["address", "id", "incarnation", "nonce", "proofs", "to"]) // prettier-ignore
    expect(lines(instance).filter((line) => /fenced/.test(line))).toEqual([])
    expect(lines(instance).join("\n")).toContain("it has not shown the secret of this fleet")
  })

  it("who stands in between, and relays under an address of its own, is told apart", async () => {
    const folder = temporaryFolder()
    const env = { WSM_DATA_DIR: folder, ...FAST }
    const [a, b] = await Promise.all(["a", "b"].map((id) => Instance.start({ ...env, WSM_INSTANCE_ID: id })))
    const proxy = await scoped(StallingProxy.start(Number(new URL(b!.url).port)))
    await writeRow(folder, liar(`http://127.0.0.1:${proxy.port}`))
    await until(
      () => lines(a!).some((line) => line.includes("it was dialled by another address")),
      "a hears that b was not meant"
    )
    expect(lines(a!).filter((line) => line.includes(`${b!.url} cannot be spoken to`))).toEqual([])
  })
})

describe("the secret", { timeout: 180_000 }, () => {
  it("of a data folder is its owner's alone", async () => {
    const folder = temporaryFolder()
    await Instance.up({ WSM_DATA_DIR: folder, ...FAST })
    expect(statSync(join(folder, "peer-secret")).mode & 0o777).toBe(0o600)
  })

  it("is changed one instance after the other, and no call fails, and no lease is lost", async () => {
    const folder = temporaryFolder()
    const server = await feed()
    server.echo()
    const [OLD, NEW] = ["the-old-secret-of-it", "the-new-secret-of-it"]
    const names = ["a", "b", "c"]
    const env = { WSM_DATA_DIR: folder, ...FAST, WSM_HEARTBEAT_TTL: "6 seconds" }
    const start = (id: string, secret: string) =>
      Instance.start({ ...env, WSM_INSTANCE_ID: id, WSM_PEER_SECRET: secret })
    const running = new Map(await Promise.all(names.map(async (id) => [id, await start(id, OLD)] as const)))
    const all = [...running.values()]
    const request = { url: server.url, awaitOpen: true, handover: "HANDOVER_MAKE_BEFORE_BREAK" } as const
    const ids = await Promise.all([...running.values()].map(async (one) => (await one.connect(request)).id))
    const failed: Array<string> = []
    let calls = 0
    /** Each asks for all of them, whoever owns them now. */
    const ask = async (but?: string) => {
      for (const [name, instance] of running) {
        if (name === but) continue
        for (const id of ids) {
          calls++
          await instance.get(id).catch((error: unknown) => failed.push(`${name}: ${String(error)}`))
        }
      }
    }
    for (const secret of [`${NEW},${OLD}`, NEW]) {
      for (const name of names) {
        await ask()
        const left = running.get(name)!.end("SIGTERM")
        await ask(name)
        expect((await left).status).toBe(0)
        await ask(name)
        const again = await start(name, secret)
        running.set(name, again)
        all.push(again)
        await ask()
      }
    }
    process.stderr.write(`  ${calls} calls while the secret was changed, ${failed.length} failed\n`)
    expect(failed).toEqual([])
    expect(
      all.flatMap(lines).filter((line) => /lease is lost|is fenced|cannot be spoken to.*secret/.test(line))
    ).toEqual([])
  })
})

describe("a port for peers alone", { timeout: 120_000 }, () => {
  it("is the one that is dialled: calls pass, callers are not served there, and a kill is heard of at once", async () => {
    const folder = temporaryFolder()
    const server = await feed()
    const env = { WSM_DATA_DIR: folder, WSM_PEER_PORT: "0", WSM_HEARTBEAT_TTL: "20 seconds" }
    const [a, b] = (await Promise.all(["a", "b"].map((id) => Instance.start({ ...env, WSM_INSTANCE_ID: id })))) as [Instance, Instance] // prettier-ignore
    const { id } = await a.connect({ url: server.url, awaitOpen: true })
    expect((await b.get(id)).instanceId).toBe("a")
    const { instances } = await b.call((client) => client.ListInstances({}))
    const address = instances.find((one) => one.id === "a")!.address
    expect(address).not.toBe(a.url)
    expect(await knock(a.url).end).toBe(404)
    expect((await fetch(`${address}/health/ready`)).status).toBe(503)
    await sleep(2_500)
    a.signal("SIGKILL")
    await until(() => lines(b).some((line) => line.includes("its process is gone")), "b hears of it", 8_000)
  })

  it("asks both ends for a certificate of the authority that is named", async () => {
    const folder = temporaryFolder()
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const ours = { WSM_TLS_CERT: file("peer.pem", PEER_CERT), WSM_TLS_KEY: file("peer.key", PEER_KEY) }
    const foreign = { WSM_TLS_CERT: file("other.pem", TEST_CERT), WSM_TLS_KEY: file("other.key", TEST_KEY) }
    const env = { WSM_DATA_DIR: folder, WSM_PEER_PORT: "0", WSM_PEER_TLS_CA: file("ca.pem", PEER_CA), ...FAST }
    const up = (id: string, tls: Record<string, string>) => Instance.up({ ...env, ...tls, WSM_INSTANCE_ID: id })
    const [a, b, c] = (await Promise.all([up("a", ours), up("b", ours), up("c", foreign)])) as [Instance, Instance, Instance] // prettier-ignore
    const cannot = (by: Instance) => lines(by).filter((line) => line.includes("cannot be spoken to"))
    await until(() => cannot(c).length >= 2 && cannot(a).length >= 1 && cannot(b).length >= 1, "c speaks to nobody")
    for (const line of [...cannot(a), ...cannot(b)]) expect(line).toContain("its certificate is not accepted")
    // a link stands between the two that have one
    await sleep(2_000)
    b.signal("SIGKILL")
    await until(() => lines(a).some((line) => line.includes("its process is gone")), "a hears of it")
  })
})
