/** Signals to a real process: how it ends, and how it wakes from a freeze. */
import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { Instance, logOf, sleep, until } from "./instanceProcess.js"
import { loneInstance, type LoneInstance } from "./loneInstance.js"

let server: LoneInstance["server"]
let env: LoneInstance["env"]
loneInstance((made) => ({ env, server } = made))

const connectMany = (instance: Instance, count: number) =>
  instance.call((client) =>
    Effect.forEach(Array.from({ length: count }), () => client.Connect({ url: server.url }), { concurrency: 50 })
  )

describe("the first signal", () => {
  it(
    "SIGTERM closes 100 peers with 1001, publishes what waits, and ends with 0 within 3 seconds",
    {
      timeout: 40_000
    },
    async () => {
      const instance = await Instance.start(env)
      await connectMany(instance, 99)
      const publishing = { packing: "PACKING_PACKED", lingerMs: 30_000, maxFrames: 1000 } as const
      const { id } = await instance.connect({ url: server.url, topic: "t", publishing })
      const seen = await instance.topic("t")
      for (let i = 0; i < 20; i++) server.last.send(`frame ${i}`)
      await until(async () => (await instance.get(id)).framesReceived === 20, "twenty frames")
      expect(seen).toEqual([])

      const { millis, status } = await instance.end("SIGTERM")
      expect(status).toBe(0)
      expect(millis).toBeLessThan(3000)
      await server.until(() => server.connections() === 0)
      expect(server.peers.map((peer) => peer.closeCode)).toEqual(Array.from({ length: 100 }, () => 1001))
      // a subscriber sees the last frame
      const texts = seen.flatMap(({ data }) => (data as unknown as ReadonlyArray<{ text: string }>).map((f) => f.text))
      expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `frame ${i}`))
    }
  )

  it("SIGINT does the same, also to a peer that does not answer", { timeout: 40_000 }, async () => {
    const instance = await Instance.start(env)
    await connectMany(instance, 3)
    server.peers[1]!.stopReading()
    const { millis, status } = await instance.end("SIGINT")
    expect(status).toBe(0)
    expect(millis).toBeLessThan(6000)
    await server.until(() => !server.peers[0]!.open && !server.peers[2]!.open)
    expect([server.peers[0]!.closeCode, server.peers[2]!.closeCode]).toEqual([1001, 1001])
  })

  it("waits for connections to close where asked, no longer than the drain timeout", { timeout: 40_000 }, async () => {
    const instance = await Instance.start({ ...env, WSM_DRAIN_MODE: "wait", WSM_DRAIN_TIMEOUT: "2 seconds" })
    const [first] = await connectMany(instance, 2)
    const ended = instance.end("SIGTERM")
    await until(() => instance.logged("instance-draining").length === 1, "draining")
    expect(server.connections()).toBe(2)
    expect((await fetch(`${instance.url}/health/ready`)).status).toBe(503)
    const refused = await instance.refused((client) => client.Connect({ url: server.url }))
    expect(refused).toMatchObject({ _tag: "InstanceDraining", id: "one" })
    await instance.call((client) => client.Disconnect({ id: first!.id }))
    await server.until(() => server.connections() === 1)
    const { millis, status } = await ended
    expect(status).toBe(0)
    expect(millis).toBeGreaterThan(1400)
    expect(millis).toBeLessThan(5000)
    await server.until(() => server.connections() === 0)
    expect(server.peers.map((peer) => peer.closeCode).toSorted()).toEqual([1000, 1001])
  })
})

describe("the second signal", () => {
  it("ends the process at once, whichever it is", { timeout: 40_000 }, async () => {
    const instance = await Instance.start({ ...env, WSM_DRAIN_MODE: "wait" })
    await connectMany(instance, 1)
    instance.signal("SIGTERM")
    await until(() => instance.logged("instance-draining").length === 1, "draining")
    const ended = await instance.end("SIGINT")
    expect(ended).toMatchObject({ status: 130, signal: null })
    expect(ended.millis).toBeLessThan(1500)
  })
})

describe("a lone instance that was frozen", () => {
  const short = { WSM_HEARTBEAT_INTERVAL: "500 millis", WSM_HEARTBEAT_TTL: "1500 millis" }

  it(
    "longer than its lease closes its sockets when it wakes, publishes nothing it read before, and dials again",
    { timeout: 40_000 },
    async () => {
      const instance = await Instance.start({ ...env, ...short })
      const { epoch, id } = await instance.connect({ url: server.url, topic: "t", reconnect: { baseDelayMs: 20 } })
      const seen = await instance.topic("t")
      const peer = server.last
      peer.send("before")
      await until(() => seen.length === 1, "the frame before")

      // for less than its lease: as if nothing had been
      instance.signal("SIGSTOP")
      peer.send("short")
      await sleep(400)
      instance.signal("SIGCONT")
      await until(() => seen.length === 2, "the frame of the short freeze")
      expect(peer.open).toBe(true)

      instance.signal("SIGSTOP")
      await sleep(3000)
      for (let i = 0; i < 50; i++) peer.send(`frozen ${i}`)
      await sleep(100)
      const wokeAt = Date.now()
      instance.signal("SIGCONT")
      await server.until(() => !peer.open)
      expect(peer.closedAt! - wokeAt).toBeLessThan(1000)
      await server.until(() => server.connections() === 1)
      const next = server.last
      await until(async () => (await instance.get(id)).status === "CONNECTION_STATUS_CONNECTED", "open again")
      next.send("after")
      await until(() => seen.some(({ data }) => data === "after"), "the frame after")
      expect(seen.map(({ data }) => data)).toEqual(["before", "short", "after"])
      const view = await instance.get(id)
      expect(view.epoch).toBe(epoch)
      expect(server.peers.length).toBe(2)
      expect(instance.logged("gap", id)[0]).toMatchObject({ cause: "reconnect", lost: "unknown" })
    }
  )

  it(
    "while another process waited for its id finds itself fenced, and lets go of everything",
    { timeout: 60_000 },
    async () => {
      const first = await Instance.start({ ...env, ...short })
      const request = { url: server.url, topic: "t", reconnect: { baseDelayMs: 20 } }
      const stop = await first.connect({ ...request, onLeaseLoss: "LEASE_LOSS_STOP" })
      const goOn = await first.connect({ ...request, onLeaseLoss: "LEASE_LOSS_CONTINUE" })
      const [one, two] = server.peers
      const seen = await first.topic("t")
      one!.send("before")
      await until(() => seen.length === 1, "the frame before")
      const second = await Instance.up({ ...env, ...short })
      first.signal("SIGSTOP")
      await second.ready()
      await server.until(() => server.connections() === 4)
      for (const peer of [one!, two!]) for (let i = 0; i < 20; i++) peer.send(`frozen ${i}`)
      await sleep(100)
      const wokeAt = Date.now()
      first.signal("SIGCONT")
      await server.until(() => !one!.open && !two!.open)
      expect(Math.max(one!.closedAt!, two!.closedAt!) - wokeAt).toBeLessThan(1000)
      await until(() => logOf(first.process).some(({ message }) => message.startsWith("fenced: ")), "it says so")
      await sleep(500)
      expect(seen.map(({ data }) => data)).toEqual(["before"])
      for (const { epoch, id } of [stop, goOn]) expect((await second.get(id)).epoch).toBeGreaterThan(epoch)
      expect(server.connections()).toBe(2)
      expect(server.peers.length).toBe(4)
    }
  )
})
