/**
 * The image without a container engine: the steps of the Dockerfile are npm scripts, and are taken here on what
 * `.dockerignore` lets through, into empty folders; the result is started as the Dockerfile starts it, by an ordinary user.
 */
import { execFile, spawn } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ROOT, textOf } from "./deployedFolder.js"

const run = promisify(execFile)
/** `node` of the official image; whoever it is here, it is not root. */
const USER = { uid: 1000, gid: 1000 }
const TOKEN = "a-token-of-the-test"

const dockerfile = textOf("Dockerfile").replaceAll("\\\n", " ")
const instructions = (name: string): ReadonlyArray<string> =>
  [...dockerfile.matchAll(new RegExp(`^${name} (.*)$`, "gm"))].map((found) => found[1]!)
const words = (name: string): ReadonlyArray<string> =>
  JSON.parse(/\[.*\]/.exec(instructions(name).at(-1)!)![0]) as ReadonlyArray<string>

let place: string
let app: string

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "wsm-image-"))
  chmodSync(place, 0o755)
  app = join(place, "app")
  const context = join(place, "src")
  mkdirSync(context)
  for (const [, name] of textOf(".dockerignore").matchAll(/^!(.+)$/gm)) {
    cpSync(join(ROOT, name!), join(context, name!), { recursive: true })
  }
  // In place of `npm ci`.
  symlinkSync(join(ROOT, "node_modules"), join(context, "node_modules"))
  const steps = instructions("RUN").filter((step) => step.startsWith("npm run"))
  expect(steps).toEqual(["npm run image:pack -- /packed", "npm run image:install -- /packed /app"])
  for (const step of steps) {
    await run("sh", ["-c", step.replaceAll(/ \/(packed|app)\b/g, ` ${place}/$1`)], { cwd: context })
  }
}, 300_000)

afterAll(() => rmSync(place, { recursive: true, force: true }))

const versionsOf = (lock: string): ReadonlyMap<string, string> => {
  const { packages } = JSON.parse(readFileSync(lock, "utf8")) as { packages: Record<string, { version: string }> }
  return new Map(Object.entries(packages).map(([path, { version }]) => [path, version]))
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

describe("the image", () => {
  it("holds the package and its production dependencies, and nothing for development", () => {
    const { dependencies, devDependencies, peerDependencies } = JSON.parse(textOf("package.json")) as Record<
      "dependencies" | "devDependencies" | "peerDependencies",
      Record<string, string>
    >
    const has = (name: string) => existsSync(join(app, "node_modules", name))
    expect(Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !has(name))).toEqual([])
    const forDevelopment = Object.keys(devDependencies).filter((name) => !(name in peerDependencies))
    expect(forDevelopment).toContain("typescript")
    expect(forDevelopment).toContain("vitest")
    // what somebody else's production dependency brings along is no tool of ours
    const broughtAlong = (name: string) => name.startsWith("@types/") || name === "yaml"
    expect(forDevelopment.filter((name) => has(name) && !broughtAlong(name))).toEqual([])
    const ours = join(app, "node_modules/websocketmanager")
    for (const name of ["dist/main.js", "proto", "dapr-components", "LICENSE"])
      expect(existsSync(join(ours, name))).toBe(true)
    for (const name of ["src", "test", "node_modules", ".image"]) expect(existsSync(join(ours, name))).toBe(false)
    expect(existsSync(join(app, "websocketmanager.tgz"))).toBe(false)
  })

  it("has every package in the version of our own lock, with which everything was tested", () => {
    const locked = versionsOf(join(ROOT, "package-lock.json"))
    const installed = versionsOf(join(app, "node_modules/.package-lock.json"))
    expect(installed.size).toBeGreaterThan(50)
    const others = [...installed].filter(([path, version]) => locked.get(path) !== version)
    expect(others.map(([path]) => path)).toEqual(["node_modules/websocketmanager"])
  })

  it("runs as a user who is not root, needs to write nowhere but where its state is, and drains on SIGTERM", async () => {
    expect(instructions("USER").at(-1)).toBe("node")
    const [http, grpc] = [await freePort(), await freePort()]
    const declared = Object.fromEntries(
      instructions("ENV").flatMap((line) => [...line.matchAll(/(\w+)=(\S+)/g)].map((found) => [found[1]!, found[2]!]))
    )
    expect(declared).toMatchObject({ NODE_ENV: "production", WSM_HOST: "0.0.0.0" })
    const env = {
      PATH: process.env["PATH"],
      ...declared,
      WSM_DATA_DIR: "",
      WSM_API_TOKEN: TOKEN,
      WSM_HTTP_PORT: `${http}`,
      WSM_GRPC_PORT: `${grpc}`
    }
    const options = { cwd: app, env, ...(process.getuid?.() === 0 ? USER : {}) }
    const check = () => {
      const [program, ...rest] = words("HEALTHCHECK")
      return run(program!, rest, options).then(
        () => 0,
        (error: { code: number }) => error.code
      )
    }
    expect(await check()).toBe(1)

    const [program, ...rest] = [...words("ENTRYPOINT"), ...words("CMD")]
    const child = spawn(program!, rest, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text))
    const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
      child.once("close", (status, signal) => resolve(status ?? signal))
    )
    try {
      await expect.poll(() => output, { timeout: 30_000 }).toContain("websocketmanager is up")
      expect((await fetch(`http://127.0.0.1:${http}/alive`)).status).toBe(200)
      expect((await fetch(`http://127.0.0.1:${http}/health`)).status).toBe(401)
      expect(await check()).toBe(0)
    } finally {
      child.kill("SIGTERM")
    }
    expect(await ended, output).toBe(0)
    expect(output).toContain("drained")
    expect(await check()).toBe(1)
  }, 60_000)

  it("stands on a Node.js that is supported, and that the package allows", () => {
    const versions = instructions("FROM").map((from) => Number(/^node:(\d+)-/.exec(from)?.[1]))
    expect(versions).toEqual([22, 22])
    const { engines } = JSON.parse(textOf("package.json")) as { readonly engines: { readonly node: string } }
    expect(engines.node).toMatch(/^>=20\./)
  })

  it("has no Dockerfile step that a test does not take, and what its first stage needs", () => {
    const taken = instructions("RUN").filter((step) => !step.startsWith("npm run image:"))
    expect(taken).toEqual(["npm ci --ignore-scripts", "install -d -o node -g node /var/lib/websocketmanager"])
    expect(dockerfile).not.toMatch(/^ADD |:latest/m)
  })
})
