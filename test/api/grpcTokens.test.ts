/** Which token opens the gRPC door, what is open without one, and what a sidecar is told of our health. */
import { describe, expect } from "vitest"
import { it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Health, type PhaseName } from "../../src/manager/Health.js"
import { open, unary } from "./grpcDoor.js"

const list = () => Effect.succeed({ connections: [], nextPageToken: "" })

/** The status of a call that carries this metadata. */
const codeOf = (client: grpc.Client, headers: Readonly<Record<string, string>> = {}) => {
  const metadata = new grpc.Metadata()
  for (const [key, value] of Object.entries(headers)) metadata.set(key, value)
  return unary(client, "List", {}, { metadata }).pipe(
    Effect.match({ onFailure: ({ code }) => grpc.status[code], onSuccess: () => "OK" })
  )
}

/** As a sidecar asks: both messages are empty. */
const sidecarAsks = (client: grpc.Client, method: string) =>
  Effect.async<string>((resume) => {
    const asIs = (bytes: Buffer) => bytes
    const path = `/dapr.proto.runtime.v1.${method}`
    client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), (error, answer) =>
      resume(Effect.succeed(error === null ? `OK ${answer!.length}` : grpc.status[error.code]!))
    )
  })

const OURS = { authorization: "Bearer ours" }
const SIDECARS = { "dapr-api-token": "sidecars" }
const WRONG = [
  {},
  { authorization: "Bearer sidecars" },
  { authorization: "ours" },
  { "dapr-api-token": "ours" },
  { "dapr-api-token": "" }
]

describe("tokens on the gRPC door", () => {
  const apiToken = Redacted.make("ours")
  const appApiToken = Redacted.make("sidecars")

  it.scopedLive("with both set, either admits a call, each only in its own header", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ list }, { settings: { apiToken, appApiToken } })
      for (const right of [OURS, SIDECARS, { ...OURS, "dapr-api-token": "wrong" }]) {
        expect(yield* codeOf(client, right)).toBe("OK")
      }
      for (const wrong of WRONG) expect(yield* codeOf(client, wrong)).toBe("UNAUTHENTICATED")
    })
  )

  it.scopedLive("with one set, that one alone", () =>
    Effect.gen(function* () {
      const withOurs = yield* open({ list }, { settings: { apiToken } })
      expect(yield* codeOf(withOurs.client, OURS)).toBe("OK")
      expect(yield* codeOf(withOurs.client, SIDECARS)).toBe("UNAUTHENTICATED")
      const withSidecars = yield* open({ list }, { settings: { appApiToken } })
      expect(yield* codeOf(withSidecars.client, SIDECARS)).toBe("OK")
      expect(yield* codeOf(withSidecars.client, OURS)).toBe("UNAUTHENTICATED")
      expect(yield* codeOf(withSidecars.client)).toBe("UNAUTHENTICATED")
    })
  )

  it.scopedLive(
    "a sidecar's questions of its application need none; there is health, and nothing to subscribe to",
    () =>
      Effect.gen(function* () {
        const { client } = yield* open({ list }, { settings: { apiToken, appApiToken } })
        expect(yield* sidecarAsks(client, "AppCallbackHealthCheck/HealthCheck")).toBe("OK 0")
        expect(yield* sidecarAsks(client, "AppCallback/ListTopicSubscriptions")).toBe("UNIMPLEMENTED")
        expect(yield* sidecarAsks(client, "AppCallback/ListInputBindings")).toBe("UNIMPLEMENTED")
      })
  )
})

describe("what a sidecar is told of our health", () => {
  it.scopedLive("is well in every phase but the last: readiness is something else", () =>
    Effect.gen(function* () {
      let phase: PhaseName = "booting"
      const health = Layer.succeed(Health, {
        ready: () => phase === "ready",
        phase: () => phase,
        report: Effect.succeed([]),
        onChange: () => () => {}
      })
      const { client } = yield* open({ list }, { health })
      const said: Array<string> = []
      for (phase of ["booting", "ready", "fenced", "draining", "left"] as const) {
        said.push(yield* sidecarAsks(client, "AppCallbackHealthCheck/HealthCheck"))
      }
      expect(said).toEqual(["OK 0", "OK 0", "OK 0", "OK 0", "UNAVAILABLE"])
    })
  )
})
