/** A collector of spans and metrics on loopback, which keeps what it got. */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

export const startCollector = async () => {
  const bodies: Array<Buffer> = []
  const server = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => bodies.push(chunk))
    request.on("end", () => response.end("{}"))
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  return {
    port: (server.address() as AddressInfo).port,
    /** All that came, as one text. */
    text: (): Buffer => Buffer.concat(bodies),
    stop: (): void => {
      server.close()
      server.closeAllConnections()
    }
  }
}
