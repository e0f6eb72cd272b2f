/** How clients share the room for answers that they have not read, and who is cut when they read none. */
import * as Http2 from "node:http2"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import type * as grpc from "@grpc/grpc-js"
import { describe, expect, it } from "vitest"
import * as Admission from "../../src/api/grpc/Admission.js"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { Unread, type UnreadOf } from "../../src/manager/Unread.js"

const MIB = 1024 * 1024

/** Clients of which nobody reads. */
const clients = (unread: Unread, count: number) => {
  const cut: Array<number> = []
  const made: Array<UnreadOf> = []
  for (let i = 0; i < count; i++) {
    const end = () => {
      cut.push(i)
      made[i]!.end()
    }
    made.push(unread.of({ passed: () => 0, cut: end }, 32 * MIB))
  }
  return { cut, made }
}
const fill = (client: UnreadOf): void => {
  while (client.take(MIB));
}

describe("answers that are not read", () => {
  it("of one client leave as much to the others as it has, and end at its own limit", () => {
    const small = new Unread(32 * MIB)
    const [one, two, three] = clients(small, 3).made as [UnreadOf, UnreadOf, UnreadOf]
    fill(one)
    expect(one.taken / MIB).toBeCloseTo(16, 0)
    fill(two)
    fill(three)
    expect(three.taken).toBeGreaterThan(2 * MIB)
    const large = new Unread(1024 * MIB)
    const [alone] = clients(large, 1).made as [UnreadOf]
    fill(alone)
    expect(alone.taken / MIB).toBeCloseTo(32, 0)
  })

  it("wait in order, and go on when others give back; small ones of who holds little pass", () => {
    const unread = new Unread(16 * MIB)
    const [hoarder, other] = clients(unread, 2).made as [UnreadOf, UnreadOf]
    expect(hoarder.take(16 * MIB)).toBe(true)
    const said: Array<string> = []
    other.whenRoomFor(4 * MIB, () => said.push("work"))
    other.whenRoom(2 * MIB, () => said.push("answer"))
    const forget = other.whenRoom(2 * MIB, () => said.push("nobody's"))
    expect(other.take(MIB)).toBe(false)
    expect(other.take(1000)).toBe(true)
    expect(other.full).toBe(true)
    forget()
    hoarder.give(16 * MIB)
    expect(said).toEqual(["answer", "work"])
    expect(other.full).toBe(false)
    other.give(6 * MIB + 1000)
    expect(unread.budget.used).toBe(0)
  })

  it("of a client that has gone are given back, and nobody waits for it", () => {
    const unread = new Unread(16 * MIB)
    const [gone, other] = clients(unread, 2).made as [UnreadOf, UnreadOf]
    let done = 0
    other.take(16 * MIB)
    gone.whenRoom(MIB, () => (done += 1))
    gone.end()
    expect(done).toBe(1)
    gone.give(MIB)
    other.end()
    expect([unread.budget.used, gone.take(MIB)]).toEqual([0, true])
  })

  it("cost the client that holds most its connection first, one after the other until there is room", async () => {
    const unread = new Unread(32 * MIB, 100)
    const { cut, made } = clients(unread, 3)
    made[0]!.take(4 * MIB)
    made[1]!.take(10 * MIB)
    made[2]!.take(6 * MIB)
    await expect.poll(() => cut.length, { timeout: 15_000 }).toBe(2)
    expect(cut).toEqual([1, 2])
    expect(unread.budget.used).toBeLessThan(4 * MIB)
    made[0]!.end()
  })
})

it("a gRPC stream that its handler destroys ends alone", async () => {
  const server = Http2.createServer()
  server.on("stream", (stream, headers) => {
    if (headers[":path"] === "/destroy") stream.destroy()
    else stream.respond({ ":status": 200 }, { endStream: true })
  })
  const of = { http2Servers: new Map([[server, undefined]]) } as unknown as grpc.Server
  const requests = new ByteBudget(MIB)
  Admission.guard(of, { admits: () => true, requests, unread: new Unread(MIB), refused: () => {} })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const client = Http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  for (let i = 0; i < 3; i++) {
    const stream = client.request({ ":path": "/destroy", ":method": "POST" })
    stream.on("error", () => {})
    stream.end(Buffer.alloc(1000))
    await once(stream, "close")
  }
  const next = client.request({ ":path": "/next" })
  const [headers] = await once(next, "response")
  expect(headers[":status"]).toBe(200)
  expect(requests.used).toBe(0)
  client.destroy()
  server.close()
})
