/**
 * An address on loopback that a connection does not get through to, for a while or for ever: somebody listens whose thread
 * stands still, and the kernel's queue before it is full. Afterwards it passes on what comes to another port.
 */
import * as Net from "node:net"
import { Worker } from "node:worker_threads"

const LISTENER = `
const { parentPort, workerData } = require("node:worker_threads")
const Net = require("node:net")
const { deafMs, host, port, to } = workerData
const pass = (socket) => {
  const on = Net.connect(to, "127.0.0.1")
  for (const one of [socket, on]) one.on("error", () => {}).on("close", () => (socket.destroy(), on.destroy()))
  socket.pipe(on).pipe(socket)
}
const server = Net.createServer(pass).listen({ host, port, backlog: 1 }, () => {
  parentPort.postMessage("listening")
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, deafMs))
})
`

export interface DeafOptions {
  readonly host: string
  readonly port: number
  /** from the start on; default for ever */
  readonly deafMs?: number
  /** the port on 127.0.0.1 that it passes on to */
  readonly to?: number
}

export class DeafServer {
  private constructor(
    private readonly worker: Worker,
    private readonly filling: ReadonlyArray<Net.Socket>
  ) {}

  static async start({ deafMs = 2 ** 31 - 1, host, port, to = port }: DeafOptions): Promise<DeafServer> {
    const worker = new Worker(LISTENER, { eval: true, workerData: { deafMs, host, port, to } })
    await new Promise((resolve) => worker.once("message", resolve))
    const filling: Array<Net.Socket> = []
    for (;;) {
      const socket = Net.connect(port, host).on("error", () => {})
      filling.push(socket)
      const through = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true))
        setTimeout(() => resolve(false), 150)
      })
      if (!through) return new DeafServer(worker, filling)
      if (filling.length > 500) throw new Error("the queue of this kernel does not become full")
    }
  }

  async stop(): Promise<void> {
    for (const socket of this.filling) socket.destroy()
    await this.worker.terminate()
  }
}
