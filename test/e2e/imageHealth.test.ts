/** The health check of the image asks the instance where it listens. */
import { execFile } from "node:child_process"
import { createServer } from "node:http"
import { networkInterfaces } from "node:os"
import type { AddressInfo } from "node:net"
import { resolve } from "node:path"
import { expect, it, onTestFinished } from "vitest"

const CHECK = resolve(import.meta.dirname, "../../.image/health.mjs")

/** What the check ends with. */
const check = (env: Readonly<Record<string, string>>): Promise<number> =>
  new Promise((done) => {
    execFile(process.execPath, [CHECK], { env: { PATH: process.env["PATH"], ...env } }, (error) =>
      done(error === null ? 0 : Number(error.code))
    )
  })

/** The port of something that is alive on this address alone. */
const alive = (host: string, status = 200): Promise<number> =>
  new Promise((done) => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === "/health/live" ? status : 404).end()
    }).listen(0, host, () => done((server.address() as AddressInfo).port))
    onTestFinished(() => void server.close())
  })

it.each([
  ["127.0.0.1", ["", "127.0.0.1", "0.0.0.0", "localhost"]],
  ["127.0.0.2", ["127.0.0.2"]],
  ...(Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"))
    ? ([["::1", ["::1", "[::1]", "::"]]] as const)
    : [])
] as const)("one that listens on %s is asked there", async (address, hosts) => {
  const port = await alive(address)
  for (const host of hosts) expect([host, await check({ WSM_HOST: host, WSM_HTTP_PORT: `${port}` })]).toEqual([host, 0])
})

it("one that is not there, not alive, or listens on another address fails it", async () => {
  expect(await check({ WSM_HOST: "127.0.0.1", WSM_HTTP_PORT: "1" })).toBe(1)
  expect(await check({ WSM_HOST: "127.0.0.1", WSM_HTTP_PORT: `${await alive("127.0.0.1", 503)}` })).toBe(1)
  expect(await check({ WSM_HOST: "127.0.0.2", WSM_HTTP_PORT: `${await alive("127.0.0.1")}` })).toBe(1)
})

it("one that took any free port is not called dead, since nobody can ask it", async () => {
  expect(await check({ WSM_HOST: "0.0.0.0", WSM_HTTP_PORT: "0" })).toBe(0)
})
