/** The connections that publishes go over, against a real HTTP server. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Client } from "undici"
import { afterEach, describe, expect, it } from "vitest"
import { type Answer, CLIENT_OPTIONS, PostPool } from "../../src/adapters/dapr/publish/PostPool.js"

const ends: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

const start = async (connections: number, answer: (request: IncomingMessage, response: ServerResponse) => void) => {
  let opened = 0
  const server = createServer((request, response) => {
    request.resume().on("end", () => answer(request, response))
  })
  server.on("connection", () => opened++)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const posts = new PostPool(() => new Client(`http://127.0.0.1:${port}`, CLIENT_OPTIONS), connections)
  ends.push(
    () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
    () => posts.destroy()
  )
  return { posts, server, opened: () => opened }
}
const to = (path: string) => ({ path, headers: ["content-type", "text/plain"], body: "x" })
const taken = (_request: IncomingMessage, response: ServerResponse) => void response.writeHead(204).end()

describe("posts", () => {
  it("sent one from within the answer to the other go over one connection", async () => {
    const { opened, posts } = await start(4, taken)
    const statuses = await new Promise<ReadonlyArray<number>>((resolve) => {
      const all: Array<number> = []
      const next = () =>
        posts.send(to("/"), ({ status }) => {
          all.push(status)
          if (all.length === 50) resolve(all)
          else next()
        })
      next()
    })
    expect(statuses).toEqual(Array.from({ length: 50 }, () => 204))
    expect(opened()).toBe(1)
  })

  it("beyond the connections wait for one, and all are answered once", async () => {
    const { opened, posts } = await start(2, taken)
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => new Promise<Answer>((resolve) => posts.send(to(`/${i}`), resolve)))
    )
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 204))
    expect(opened()).toBe(2)
  })

  it("one that is given up is told of no more, and frees its connection for one that waits", async () => {
    const arrived: Array<string> = []
    let hanging: (() => void) | undefined
    const came = new Promise<void>((resolve) => (hanging = resolve))
    const { posts } = await start(1, (request, response) => {
      arrived.push(request.url!)
      if (request.url === "/hangs") hanging!()
      else taken(request, response)
    })
    const told: Array<string> = []
    const giveUp = posts.send(to("/hangs"), () => told.push("hangs"))
    const giveUpWaiting = posts.send(to("/waits"), () => told.push("waits"))
    const answered = new Promise<Answer>((resolve) => posts.send(to("/next"), resolve))
    await came
    giveUpWaiting()
    giveUp()
    expect((await answered).status).toBe(204)
    expect(told).toEqual([])
    expect(arrived).toEqual(["/hangs", "/next"])
  })

  it("that fail free their connection, from within the answer too", async () => {
    const { posts, server } = await start(1, (request, response) => {
      if (request.url === "/breaks") request.socket.destroy()
      else taken(request, response)
    })
    const after = await new Promise<ReadonlyArray<Answer>>((resolve) => {
      posts.send(to("/breaks"), (broken) => posts.send(to("/works"), (works) => resolve([broken, works])))
    })
    expect(after).toMatchObject([{ status: 0, sent: true }, { status: 204 }])
    await new Promise((resolve) => server.close(resolve).closeAllConnections())
    const refused = await new Promise<ReadonlyArray<Answer>>((resolve) => {
      const again = (before: ReadonlyArray<Answer>) =>
        posts.send(to("/"), (answer) => (before.length === 3 ? resolve(before) : again([...before, answer])))
      again([])
    })
    expect(refused.at(-1)).toMatchObject({ status: 0, sent: false, body: expect.stringContaining("refused") as string })
  })
})
