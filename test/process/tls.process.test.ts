/** The certificate of a running instance is replaced, and signals that ask for that; what TLS the doors speak. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import { join } from "node:path"
import * as Tls from "node:tls"
import * as grpc from "@grpc/grpc-js"
import { afterEach, beforeAll, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { built } from "../cli/runWsm.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"
import { afterwards, cleanUp, launch, logOf, temporaryFolder, until } from "./instanceProcess.js"

beforeAll(built, 120_000)
afterEach(cleanUp)

const UP = /^websocketmanager is up: http (\S+) {2}grpc (\S+)/m

/** Another certificate, of an RSA key, which static key exchange would work with. */
const another = (folder: string): { readonly cert: string; readonly key: string } => {
  const [cert, key] = [join(folder, "other-cert.pem"), join(folder, "other-key.pem")]
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert], { stdio: "ignore" }) // prettier-ignore
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") }
}

const instance = async (files: { readonly cert: string; readonly key: string }, more: Record<string, string> = {}) => {
  const folder = temporaryFolder()
  const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")]
  writeFileSync(tlsCert, files.cert)
  writeFileSync(tlsKey, files.key)
  const process = await launch({ WSM_DATA_DIR: "", WSM_TLS_CERT: tlsCert, WSM_TLS_KEY: tlsKey, ...more })
  const [, url, grpcAddress] = await process.line(UP)
  const portOf = (address: string) => Number(address.split(":").at(-1)!.replace(/\D/g, ""))
  return { process, tlsCert, tlsKey, http: portOf(url!), grpc: portOf(grpcAddress!) }
}

/** The serial number of the certificate that a port shows; or why there was no handshake. */
const shown = (port: number, options: Tls.ConnectionOptions = {}): Promise<string> =>
  new Promise((resolve) => {
    const socket = Tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"], ...options }) // prettier-ignore
    socket.on("secureConnect", () => {
      resolve(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`refused: ${error.code}`))
    socket.on("close", () => resolve("refused: closed"))
  })
const serialOf = (pem: string): string => execFileSync("openssl", ["x509", "-noout", "-serial"], { input: pem }).toString().trim().replace("serial=", "") // prettier-ignore

describe("the certificate of both doors", { timeout: 60_000 }, () => {
  it.each(["when the files change", "on SIGHUP alone"])("is read anew %s, and no socket is dropped; a bad one is told of and the old one goes on", async (how) => {
    const { grpc: grpcPort, http, process, tlsCert, tlsKey } = await instance({ cert: TEST_CERT, key: TEST_KEY })
    const other = another(temporaryFolder())
    const both = async () => [await shown(http), await shown(grpcPort)]
    const before = serialOf(TEST_CERT)
    expect(await both()).toEqual([before, before])

    const link = new WebSocket(`wss://localhost:${http}/rpc/ws`, { ca: TEST_CERT })
    afterwards(() => link.terminate())
    await once(link, "open")
    const client = new grpc.Client(`localhost:${grpcPort}`, grpc.credentials.createSsl(Buffer.from(TEST_CERT)))
    afterwards(() => client.close())
    const statuses: Array<Buffer> = []
    const watch = client.makeServerStreamRequest("/grpc.health.v1.Health/Watch", (b: Buffer) => b, (b) => b, Buffer.alloc(0))
    let ended: unknown
    watch.on("data", (bytes: Buffer) => statuses.push(bytes))
    watch.on("error", (error) => (ended = error))
    await until(() => statuses.length > 0, "the watch has begun")

    const told = (text: string) => logOf(process).filter(({ message }) => message.includes(text)).length
    writeFileSync(tlsKey, "no key")
    if (how === "on SIGHUP alone") process.child.kill("SIGHUP")
    await until(() => told("is not used, the one before goes on") >= 2, "both doors tell of the bad one")
    expect(await both()).toEqual([before, before])

    writeFileSync(tlsCert, other.cert)
    writeFileSync(tlsKey, other.key)
    if (how === "on SIGHUP alone") process.child.kill("SIGHUP")
    const after = serialOf(other.cert)
    await until(async () => (await both()).every((serial) => serial === after), "both doors show the new one")
    expect(process.output.err).not.toContain("PRIVATE KEY")

    const pong = once(link, "pong")
    link.ping()
    await pong
    expect(ended).toBeUndefined()
    const checked = await new Promise<grpc.ServiceError | null>((resolve) =>
      client.makeUnaryRequest("/grpc.health.v1.Health/Check", (b: Buffer) => b, (b) => b, Buffer.alloc(0), resolve)
    )
    expect(checked).toBeNull()
  }) // prettier-ignore

  it("is spoken with forward secrecy alone, from version 1.2 on, or from 1.3 on where that is set", async () => {
    const rsa = another(temporaryFolder())
    const one = await instance(rsa)
    for (const port of [one.http, one.grpc]) {
      expect(await shown(port, { maxVersion: "TLSv1.2" })).toBe(serialOf(rsa.cert))
      for (const ciphers of ["AES128-SHA", "AES256-SHA256", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"]) {
        expect([ciphers, await shown(port, { maxVersion: "TLSv1.2", ciphers })]).toEqual([ciphers, expect.stringContaining("refused")]) // prettier-ignore
      }
      expect(await shown(port, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" })).toContain("refused") // prettier-ignore
    }
    const two = await instance(rsa, { WSM_TLS_MIN_VERSION: "1.3" })
    for (const port of [two.http, two.grpc]) {
      expect(await shown(port, { maxVersion: "TLSv1.2" })).toContain("refused")
      expect(await shown(port)).toBe(serialOf(rsa.cert))
    }
  })

  it("an unfinished handshake ends", async () => {
    const { grpc: grpcPort, http } = await instance({ cert: TEST_CERT, key: TEST_KEY })
    const { connect } = await import("node:net")
    const sockets = [http, grpcPort].flatMap((port) => ["", "\u0016\u0003\u0001\u0002\u0000"].map((text) => {
      const socket = connect(port, "127.0.0.1")
      socket.on("error", () => {})
      afterwards(() => socket.destroy())
      if (text !== "") socket.write(Buffer.from(text, "latin1"))
      return socket
    }))
    const over = () => sockets.filter((socket) => socket.destroyed || socket.readableEnded).length
    await until(() => over() === sockets.length, "all are cut", 30_000)
    expect(over()).toBe(4)
  }) // prettier-ignore
})

describe("a signal", { timeout: 60_000 }, () => {
  it("SIGHUP ends no instance, without a certificate too; SIGQUIT drains as SIGTERM does", async () => {
    const process = await launch({ WSM_DATA_DIR: "" })
    const [, url] = await process.line(UP)
    for (let i = 0; i < 3; i++) process.child.kill("SIGHUP")
    expect((await fetch(`${url}/alive`)).status).toBe(200)
    process.child.kill("SIGQUIT")
    expect(await process.ended).toMatchObject({ status: 0, signal: null })
  })
})
