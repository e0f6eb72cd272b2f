/**
 * A real broker over WebSocket: Mosquitto with `protocol websockets`, a login of MQTT packets as handshake steps, and its own
 * stock client as the publisher. The broker is killed and comes back on its port.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { type AddressInfo, connect as dial, createServer } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { Frame } from "../../src/domain/Frame.js"
import type { TopicEvent } from "../../src/ports/PubSub.js"
import { TestManager } from "../support/TestManager.js"
import { afterwards, cleanUp, temporaryFolder, until } from "./instanceProcess.js"

const BINARIES = ["mosquitto", "mosquitto_pub"]
const HOW = "mosquitto is not installed: apt-get install mosquitto mosquitto-clients"

/** Debian puts the broker where only root's path looks. */
const PATH = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`
const installed = BINARIES.every((name) => {
  try {
    execFileSync("sh", ["-c", `command -v ${name}`], { env: { PATH }, stdio: "ignore" })
    return true
  } catch {
    return false
  }
})
const required = process.env.WSM_REQUIRE_ALL === "1"

// ------------------------------------------------------------ MQTT 3.1.1, as little of it as is needed

const text = (value: string): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Buffer.byteLength(value))
  return Buffer.concat([length, Buffer.from(value)])
}
const packet = (first: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first, body.length]), body])
}
/** Clean session, keep-alive of 1 second: the broker cuts a client that is silent for longer than 1.5 times that. */
const CONNECT = packet(0x10, text("MQTT"), Buffer.from([4, 0x02, 0, 1]), text("wsm-test"))
const SUBSCRIBE = packet(0x82, Buffer.from([0, 1]), text("test/#"), Buffer.from([0]))
const PINGREQ = Buffer.from([0xc0, 0x00])

/** Topic and payload of a PUBLISH packet of quality 0; undefined for any other packet. */
const published = (data: Buffer): { readonly topic: string; readonly payload: Buffer } | undefined => {
  if (data[0]! >> 4 !== 3) return undefined
  let length = 0
  let at = 1
  for (let shift = 0; ; shift += 7) {
    const byte = data[at++]!
    length |= (byte & 0x7f) << shift
    if (byte < 128) break
  }
  expect(data.length).toBe(at + length)
  const end = at + 2 + data.readUInt16BE(at)
  return { topic: data.toString("utf8", at + 2, end), payload: data.subarray(end) }
}

// ------------------------------------------------------------ the broker

class Broker {
  private child: ChildProcess | undefined
  private constructor(
    readonly wsPort: number,
    readonly tcpPort: number,
    private readonly config: string
  ) {}

  static async start(): Promise<Broker> {
    const folder = temporaryFolder()
    const [ws, tcp] = [await freePort(), await freePort()]
    const config = join(folder, "mosquitto.conf")
    writeFileSync(
      config,
      [
        `listener ${ws} 127.0.0.1`,
        "protocol websockets",
        `listener ${tcp} 127.0.0.1`,
        "allow_anonymous true",
        "persistence false",
        ""
      ].join("\n")
    )
    const broker = new Broker(ws, tcp, config)
    afterwards(() => broker.kill())
    await broker.run()
    return broker
  }

  /** Started, and both listeners answer. */
  async run(): Promise<void> {
    this.child = spawn("mosquitto", ["-c", this.config], { env: { PATH }, stdio: "ignore" })
    await Promise.all([answers(this.wsPort), answers(this.tcpPort)])
  }

  async kill(): Promise<void> {
    const { child } = this
    this.child = undefined
    if (child === undefined) return
    const ended = once(child, "exit")
    child.kill("SIGKILL")
    await ended
  }

  /** By the stock client, one message a process. */
  async publish(topic: string, message: Buffer): Promise<void> {
    const file = join(temporaryFolder(), "message")
    writeFileSync(file, message)
    const args = ["-h", "127.0.0.1", "-p", String(this.tcpPort), "-t", topic, "-f", file]
    await promisify(execFile)("mosquitto_pub", args, { env: { PATH } })
  }
}

const freePort = async (): Promise<number> => {
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, "close")
  return port
}

const answers = (port: number): Promise<void> =>
  until(
    () =>
      new Promise((resolve) => {
        const socket = dial(port, "127.0.0.1")
        socket.on("connect", () => resolve((socket.destroy(), true))).on("error", () => resolve(false))
      }),
    `the broker listens on ${port}`
  )

// ------------------------------------------------------------ the tests

// Optional on a user's machine: skipped with one line that says what to install. With WSM_REQUIRE_ALL=1, as in CI, it runs and fails.
const suite = installed || required ? describe : describe.skip
if (!installed && !required) process.stdout.write(`${HOW}\n`)

suite("Mosquitto over WebSocket", () => {
  let broker: Broker
  let manager: TestManager
  let events: Array<TopicEvent>

  beforeAll(async () => {
    if (!installed) throw new Error(HOW)
    broker = await Broker.start()
    manager = await TestManager.start()
    afterwards(() => manager.stop())
    events = await manager.topic("mqtt")
  }, 60_000)
  afterAll(cleanUp)

  const connect = async () => {
    const request: ConnectRequest = {
      url: `ws://127.0.0.1:${broker.wsPort}/mqtt`,
      subprotocols: ["mqtt"],
      handshake: [
        { sendBinary: CONNECT },
        { expect: { timeoutMs: 5000 } },
        { sendBinary: SUBSCRIBE },
        { expect: { timeoutMs: 5000 } }
      ],
      keepAlive: { pingIntervalMs: 300, pingBinary: PINGREQ },
      reconnect: { baseDelayMs: 50, maxDelayMs: 200 },
      topic: "mqtt"
    }
    const { connection } = await manager.run(manager.service.connect(request))
    return connection
  }
  const messages = () =>
    events.flatMap((event) => {
      if (!(event instanceof Frame)) return []
      expect(event.binary).toBe(true)
      return published(event.data) ?? []
    })

  it(
    "logs in, and what a stock client publishes arrives byte for byte, also after the broker was killed",
    {
      timeout: 60_000
    },
    async () => {
      const { id, status } = await connect()
      expect(status).toBe("CONNECTION_STATUS_CONNECTED")
      expect((await manager.event(id, "connected")).attributes["subprotocol"]).toBe("mqtt")

      const sent = [Buffer.from("grüße"), Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 256)), Buffer.alloc(0)]
      for (const [i, message] of sent.entries()) await broker.publish(`test/${i}`, message)
      await until(() => messages().length === 3, "three messages")
      expect(messages()).toEqual(sent.map((payload, i) => ({ topic: `test/${i}`, payload })))

      await broker.kill()
      await manager.event(id, "reconnecting", 2)
      await broker.run()
      await manager.event(id, "connected", 2)
      await broker.publish("test/again", Buffer.from([0, 255, 128]))
      await until(() => messages().length === 4, "the message after")
      expect(messages()[3]).toEqual({ topic: "test/again", payload: Buffer.from([0, 255, 128]) })
      const stamps = events.map((event) => (event as Frame).sequence)
      expect(stamps).toEqual(stamps.toSorted((a, b) => a - b))
      const last = manager.runtime.runSync(manager.service.get(id))
      expect(last).toMatchObject({ status: "CONNECTION_STATUS_CONNECTED", framesDropped: 0 })

      // silent for longer than the broker bears, but for the pings
      const before = manager.types(id).length
      await new Promise((resolve) => setTimeout(resolve, 2500))
      expect(manager.types(id).slice(before)).toEqual([])
      await broker.publish("test/last", Buffer.from("still here"))
      await until(() => messages().length === 5, "the message after the silence")
    }
  )

  it("is dropped by a broker that gets no pings: what keeps it are ours", { timeout: 30_000 }, async () => {
    const { id } = await manager
      .run(
        manager.service.connect({
          url: `ws://127.0.0.1:${broker.wsPort}/mqtt`,
          subprotocols: ["mqtt"],
          handshake: [
            { sendBinary: packet(0x10, text("MQTT"), Buffer.from([4, 0x02, 0, 1]), text("silent")) },
            { expect: { timeoutMs: 5000 } }
          ],
          autoReconnect: false
        })
      )
      .then(({ connection }) => connection)
    await until(() => manager.types(id).includes("disconnected"), "the broker cuts it")
    expect(manager.runtime.runSync(manager.service.get(id)).status).toBe("CONNECTION_STATUS_DISCONNECTED")
  })
})
