/** What one gRPC connection has on its way is bounded before it is kept; another goes on. */
import { describe, it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { expect } from "vitest"
import { makeClient, open, unaryBytes } from "./grpcDoor.js"

const MIB = 1024 * 1024

/** SendRawRequest { id = 1, data = 2 }, or whatever has a text and bytes there. */
const message = (bytes: number): Buffer => {
  const length = [0, 1, 2, 3].map((i) => ((bytes >>> (7 * i)) & 0x7f) | (i < 3 ? 0x80 : 0))
  return Buffer.concat([Buffer.from([0x0a, 1, 0x61, 0x12, ...length]), Buffer.alloc(bytes, 0x61)])
}

describe("messages on their way over gRPC", () => {
  it.scopedLive(
    "beyond 64 MiB of one connection are RESOURCE_EXHAUSTED, and are given back when their calls end",
    () =>
      Effect.gen(function* () {
        let hanging = 0
        const never = Effect.suspend(() => {
          hanging += 1
          return Effect.onInterrupt(Effect.never, () => Effect.sync(() => (hanging -= 1)))
        })
        const { client, port } = yield* open({ sendRaw: () => never, list: () => Effect.succeed({ connections: [], nextPageToken: "" }) }) // prettier-ignore
        const codes: Array<grpc.status> = []
        const call = Effect.tapError(unaryBytes(client, "SendRaw", message(15 * MIB)), ({ code }) =>
          Effect.sync(() => codes.push(code))
        )
        for (let i = 0; i < 7; i++) yield* Effect.forkScoped(Effect.ignore(call))
        const until = (holds: () => boolean) =>
          Effect.repeat(Effect.sync(holds), { until: (b) => b, schedule: Schedule.spaced("10 millis") })
        yield* until(() => hanging + codes.length === 7)
        expect(hanging).toBeLessThanOrEqual(4)
        expect(new Set(codes)).toEqual(new Set([grpc.status.RESOURCE_EXHAUSTED]))
        const other = yield* makeClient(`127.0.0.1:${port}`)
        yield* unaryBytes(other, "List", Buffer.alloc(0))
        client.close()
      }),
    60_000
  )
})
