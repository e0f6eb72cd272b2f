/** The gRPC door as a server: deadlines, cancellation, back-pressure, size, health, reflection, token, TLS, start and stop. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import * as grpc from "@grpc/grpc-js"
import { loadSync } from "@grpc/proto-loader"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { protoPath as healthProto } from "grpc-health-check"
import * as E from "../../src/domain/Errors.js"
import { TEST_CERT, TEST_KEY } from "../support/testCertificate.js"
import {
  type Answer,
  detailsOf,
  doorLayer,
  makeClient,
  next,
  open,
  SERVICE,
  stream,
  switchableHealth,
  unary
} from "./grpcDoor.js"

const reflectionProto = (version: string) =>
  join(
    createRequire(import.meta.url).resolve("@grpc/reflection"),
    `../../proto/grpc/reflection/${version}/reflection.proto`
  )

/** A client of another service on the same port. */
const clientOf = (proto: string, pick: (loaded: Answer) => grpc.ServiceClientConstructor, port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const loaded = grpc.loadPackageDefinition(loadSync(proto, { longs: Number, enums: String, oneofs: true }))
      return new (pick(loaded))(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
    }),
    (client) => Effect.sync(() => client.close())
  )
const healthClient = (port: number) => clientOf(healthProto, (p) => p.grpc.health.v1.Health, port)

const eventually = (condition: () => boolean) =>
  Effect.repeat(Effect.sync(condition), { until: (holds) => holds, schedule: Schedule.spaced("5 millis") }).pipe(
    Effect.timeout("5 seconds")
  )

/** An operation that never answers and tells when it was called, and whether it is interrupted within five seconds. */
const hanging = Effect.gen(function* () {
  const called = yield* Deferred.make<void>()
  const interrupted = yield* Deferred.make<void>()
  const operation = Deferred.succeed(called, undefined).pipe(
    Effect.zipRight(Effect.never),
    Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
  )
  const isInterrupted = Effect.timeoutTo(Deferred.await(interrupted), {
    duration: "5 seconds",
    onSuccess: () => true,
    onTimeout: () => false
  })
  return { called: Deferred.await(called), isInterrupted, operation }
})

describe("a gRPC call and its fiber", () => {
  it.scopedLive("a deadline interrupts the operation", () =>
    Effect.gen(function* () {
      const { isInterrupted, operation } = yield* hanging
      const { client, metrics } = yield* open({ send: () => operation })
      const failed = yield* Effect.flip(unary(client, "Send", { id: "c1" }, { deadlineMs: 2000 }))
      expect(failed.code).toBe(grpc.status.DEADLINE_EXCEEDED)
      expect(yield* isInterrupted).toBe(true)
      yield* eventually(() => metrics.rpcSeconds("grpc", "Send", "Cancelled").count === 1)
    })
  )

  it.scopedLive("a cancelled call interrupts the operation", () =>
    Effect.gen(function* () {
      const { called, isInterrupted, operation } = yield* hanging
      const { client } = yield* open({ send: () => operation })
      yield* Effect.raceFirst(unary(client, "Send", { id: "c1" }), called)
      expect(yield* isInterrupted).toBe(true)
    })
  )

  it.scopedLive("a client that goes away interrupts its calls", () =>
    Effect.gen(function* () {
      const { called, isInterrupted, operation } = yield* hanging
      const { port } = yield* open({ send: () => operation })
      const sockets: Array<Net.Socket> = []
      const proxy = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const server = Net.createServer((inner) => {
            const outer = Net.connect(port, "127.0.0.1")
            for (const s of [inner, outer]) s.on("error", () => {})
            inner.pipe(outer).pipe(inner)
            sockets.push(inner, outer)
          }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const through = yield* makeClient(`127.0.0.1:${(proxy.address() as Net.AddressInfo).port}`)
      yield* Effect.fork(Effect.ignore(unary(through, "Send", { id: "c1" })))
      yield* called
      for (const socket of sockets) socket.destroy()
      expect(yield* isInterrupted).toBe(true)
    })
  )

  it.scopedLive("a stream answers with headers before its first item, and is interrupted when it is cancelled", () =>
    Effect.gen(function* () {
      const { called, isInterrupted, operation } = yield* hanging
      const { client } = yield* open({ receive: () => Effect.succeed(Stream.fromEffect(operation)) })
      const call = stream(client, "Receive", { id: "c1" })
      yield* next(call, "metadata")
      yield* called
      call.cancel()
      expect(yield* isInterrupted).toBe(true)
    })
  )

  it.scopedLive("a stream that is refused sends no headers first", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ receive: () => Effect.fail(new E.ConnectionNotFound({ id: "c1" })) })
      const call = stream(client, "Receive", { id: "c1" })
      const seen: Array<string> = []
      call.on("data", () => seen.push("data"))
      const status = yield* next<grpc.StatusObject>(call, "status")
      expect([status.code, seen]).toEqual([grpc.status.NOT_FOUND, []])
    })
  )

  it.scopedLive("the scope of a stream closes with the call", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const { client } = yield* open({
        receive: () =>
          Effect.as(
            Effect.addFinalizer(() => Deferred.succeed(released, undefined)),
            Stream.never
          )
      })
      const call = stream(client, "Receive", { id: "c1" }, { deadlineMs: 100 })
      expect((yield* next<grpc.StatusObject>(call, "status")).code).toBe(grpc.status.DEADLINE_EXCEEDED)
      yield* Deferred.await(released)
    })
  )
})

describe("large messages and slow readers", () => {
  it.scopedLive("a reader that stops holds the stream, by bytes, and gets all of it in order when it goes on", () =>
    Effect.gen(function* () {
      const size = 256 * 1024
      const total = 200
      let produced = 0
      const frames = Stream.repeatEffectChunk(
        Effect.sync(() => {
          const sequence = ++produced
          const data = new Uint8Array(size).fill(sequence % 251)
          return Chunk.of({ data, contentType: "", epoch: 1, sequence, receivedAt: new Date(), missed: 0 })
        })
      ).pipe(Stream.take(total))
      const { client } = yield* open({ receive: () => Effect.succeed(frames) })
      const call = stream(client, "Receive", { id: "c1" })
      const received: Array<number> = []
      call.on("data", (frame: Answer) => received.push(frame.data[0] === frame.sequence % 251 ? frame.sequence : -1))
      // a stock client holds the stream only from its first read on
      yield* next(call, "data")
      call.pause()
      // settled: nothing more is produced for a while
      yield* Effect.iterate(-1, {
        while: (before) => before !== produced,
        body: () => Effect.as(Effect.sleep("200 millis"), produced)
      }).pipe(Effect.timeout("10 seconds"))
      expect(produced).toBeGreaterThan(0)
      expect(produced).toBeLessThan(28) // a mebibyte here, and the sixteen that the client takes ahead
      call.resume()
      expect((yield* next<grpc.StatusObject>(call, "status")).code).toBe(grpc.status.OK)
      expect(received).toEqual(Array.from({ length: total }, (_, i) => i + 1))
    })
  )

  it.scopedLive("many small items pass in order, in chunks and one by one", () =>
    Effect.gen(function* () {
      const items = Array.from({ length: 5000 }, (_, i) => ({ event: new Uint8Array(20), missed: i }))
      const { client } = yield* open({
        subscribe: (topic) =>
          Effect.succeed(
            topic === "chunks" ? Stream.fromIterable(items) : Stream.rechunk(Stream.fromIterable(items), 1)
          )
      })
      for (const topic of ["chunks", "single"]) {
        const call = stream(client, "Subscribe", { topic })
        const got: Array<number> = []
        call.on("data", (item: Answer) => got.push(item.missed))
        yield* next(call, "end")
        expect(got).toEqual(items.map((item) => item.missed))
      }
    })
  )

  it.scopedLive("16 MiB pass both ways and hold up the event loop for less than 500 ms", () =>
    Effect.gen(function* () {
      const size = 16 * 1024 * 1024
      const message = Buffer.alloc(size, 7)
      const frame = { contentType: "", epoch: 1, sequence: 1, receivedAt: new Date(), missed: 0 }
      const { client } = yield* open({
        send: (request) => Effect.succeed({ response: request.message, contentType: "" }),
        receive: () => Effect.succeed(Stream.make({ ...frame, data: new Uint8Array(message) }))
      })
      const lag = monitorEventLoopDelay({ resolution: 5 })
      lag.enable()
      const { response } = yield* unary(client, "Send", { id: "c1", message })
      const received = yield* next<Answer>(stream(client, "Receive", { id: "c1" }), "data")
      lag.disable()
      expect(message.equals(response)).toBe(true)
      expect(message.equals(received.data)).toBe(true)
      expect(lag.max / 1e6).toBeLessThan(500)
    })
  )

  it.scopedLive("a message over 17 MiB is RESOURCE_EXHAUSTED and the server lives on", () =>
    Effect.gen(function* () {
      const { client } = yield* open({ sendRaw: () => Effect.void })
      const failed = yield* Effect.flip(
        unary(client, "SendRaw", { id: "c1", message: Buffer.alloc(17 * 1024 * 1024 + 1) })
      )
      expect(failed.code).toBe(grpc.status.RESOURCE_EXHAUSTED)
      expect(yield* unary(client, "SendRaw", { id: "c1" })).toEqual({})
    })
  )
})

describe("health and reflection over gRPC", () => {
  it.scopedLive("health follows readiness, for the server and for the service", () =>
    Effect.gen(function* () {
      const health = switchableHealth(false)
      const { port } = yield* open({}, { health: health.layer })
      const client = yield* healthClient(port)
      const watch = stream(client, "Watch", { service: SERVICE })
      const seen: Array<string> = []
      watch.on("data", ({ status }: Answer) => seen.push(status))
      yield* eventually(() => seen.length === 1)
      for (const service of ["", SERVICE]) {
        expect(yield* unary(client, "Check", { service })).toEqual({ status: "NOT_SERVING" })
      }
      health.set(true)
      health.set(true)
      yield* eventually(() => seen.length === 2)
      expect(yield* unary(client, "Check", { service: "" })).toEqual({ status: "SERVING" })
      health.set(false)
      yield* eventually(() => seen.length === 3)
      expect(seen).toEqual(["NOT_SERVING", "SERVING", "NOT_SERVING"])
      const unknown = yield* Effect.flip(unary(client, "Check", { service: "other" }))
      expect(unknown.code).toBe(grpc.status.NOT_FOUND)
    })
  )

  for (const version of ["v1", "v1alpha"]) {
    it.scopedLive(`reflection ${version} describes the service completely, from no file`, () =>
      Effect.gen(function* () {
        const { port } = yield* open({})
        const client = yield* clientOf(
          reflectionProto(version),
          (p) => p.grpc.reflection[version].ServerReflection,
          port
        )
        const call = (client as Answer).ServerReflectionInfo() as grpc.ClientDuplexStream<object, Answer>
        const ask = (request: object) =>
          Effect.zipRight(
            Effect.sync(() => call.write(request)),
            next<Answer>(call, "data")
          )
        const listed = yield* ask({ list_services: "", listServices: "" })
        expect(listed.listServicesResponse.service.map((s: { name: string }) => s.name).sort()).toEqual([
          "grpc.health.v1.Health",
          SERVICE
        ])
        const files = new Map<string, ReturnType<typeof parse>>()
        const parse = (bytes: Uint8Array) => fromBinary(FileDescriptorProtoSchema, bytes)
        for (const symbol of [SERVICE, "grpc.health.v1.Health", "google.protobuf.Timestamp"]) {
          const answer = yield* ask({ fileContainingSymbol: symbol })
          for (const bytes of answer.fileDescriptorResponse.fileDescriptorProto) {
            const file = parse(bytes)
            files.set(file.name, file)
          }
        }
        call.end()
        const registry = createFileRegistry(
          create(FileDescriptorSetSchema, {
            file: [...files.values()].sort((a) => (a.dependency.length === 0 ? -1 : 1))
          })
        )
        expect(registry.getService(SERVICE)!.methods.length).toBe(21)
        const connect = registry.getMessage("websocketmanager.v1.ConnectRequest")!
        expect(connect.field["awaitOpen"]!.proto.proto3Optional).toBe(true)
        expect(registry.getMessage("websocketmanager.v1.HandshakeStep")!.oneofs.length).toBe(1)
        const official = loadSync(healthProto)["grpc.health.v1.Health"] as grpc.ServiceDefinition
        const described = registry.getService("grpc.health.v1.Health")!.methods
        expect(described.map((m) => [m.name, m.methodKind === "server_streaming"])).toEqual(
          Object.entries(official).map(([name, m]) => [name, m.responseStream])
        )
      })
    )
  }
})

describe("the token on the gRPC door", () => {
  const settings = { apiToken: Redacted.make("t0ken") }
  const bearer = (value: string) => {
    const metadata = new grpc.Metadata()
    metadata.set("authorization", value)
    return metadata
  }

  it.scopedLive("with a token set, calls and reflection need it and health does not", () =>
    Effect.gen(function* () {
      let calls = 0
      const count = () => Effect.sync(() => ((calls += 1), undefined))
      const { client, port } = yield* open(
        { sendRaw: count, receive: () => Effect.succeed(Stream.never) },
        { settings }
      )
      for (const metadata of [
        undefined,
        bearer("t0ken"),
        bearer("Bearer t0ke"),
        bearer("Bearer t0ken2"),
        bearer("Bearer ")
      ]) {
        const failed = yield* Effect.flip(unary(client, "SendRaw", {}, metadata === undefined ? {} : { metadata }))
        expect(failed.code).toBe(grpc.status.UNAUTHENTICATED)
        expect(detailsOf(failed).info.reason).toBe("UNAUTHENTICATED")
        expect(failed.message).not.toContain("t0ken")
      }
      expect(calls).toBe(0)
      expect(yield* unary(client, "SendRaw", {}, { metadata: bearer("Bearer t0ken") })).toEqual({})
      expect(yield* unary(client, "SendRaw", {}, { metadata: bearer("bearer t0ken") })).toEqual({})
      expect(calls).toBe(2)

      const refused = yield* next<grpc.StatusObject>(stream(client, "Receive", {}), "status")
      expect(refused.code).toBe(grpc.status.UNAUTHENTICATED)
      yield* next(stream(client, "Receive", {}, { metadata: bearer("Bearer t0ken") }), "metadata")

      const health = yield* healthClient(port)
      expect(yield* unary(health, "Check", { service: "" })).toEqual({ status: "SERVING" })
      const reflection = yield* clientOf(reflectionProto("v1"), (p) => p.grpc.reflection.v1.ServerReflection, port)
      const call = (reflection as Answer).ServerReflectionInfo() as grpc.ClientDuplexStream<object, Answer>
      call.on("error", () => {})
      call.write({ listServices: "" })
      expect((yield* next<grpc.StatusObject>(call, "status")).code).toBe(grpc.status.UNAUTHENTICATED)
    })
  )
})

describe("opening and closing the gRPC door", () => {
  const certificate = Effect.gen(function* () {
    const dir = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "grpc-tls-"))),
      (dir) => Effect.sync(() => rmSync(dir, { recursive: true }))
    )
    const files = { tlsCert: join(dir, "cert.pem"), tlsKey: join(dir, "key.pem") }
    writeFileSync(files.tlsCert, TEST_CERT)
    writeFileSync(files.tlsKey, TEST_KEY)
    return files
  })
  it.scopedLive("with a certificate the port speaks TLS", () =>
    Effect.gen(function* () {
      const { tlsCert, tlsKey } = yield* certificate
      const { port } = yield* open({ sendRaw: () => Effect.void }, { settings: { tlsCert, tlsKey } })
      const client = yield* makeClient(`localhost:${port}`, grpc.credentials.createSsl(Buffer.from(TEST_CERT)))
      expect(yield* unary(client, "SendRaw", {})).toEqual({})
      writeFileSync(tlsKey, "no key")
      const failed = yield* Effect.flip(Layer.build(doorLayer({}, { settings: { tlsCert, tlsKey } })))
      expect(failed.message).toMatch(/^cannot listen for gRPC on 127\.0\.0\.1:0: the certificate of WSM_TLS_CERT/)
    })
  )

  it.scopedLive("a port in use is one line that says what to do", () =>
    Effect.gen(function* () {
      const { port } = yield* open({})
      const failed = yield* Effect.flip(Layer.build(doorLayer({}, { settings: { grpcPort: port } })))
      expect(failed._tag).toBe("GrpcListenFailed")
      expect(failed.message).toBe(
        `cannot listen for gRPC on 127.0.0.1:${port}: the port is in use; stop what listens there, or choose another port with WSM_GRPC_PORT`
      )
    })
  )

  it.scopedLive("closing ends streams with UNAVAILABLE, lets a unary call finish, and frees the port", () =>
    Effect.gen(function* () {
      const { called, isInterrupted, operation } = yield* hanging
      const answer = yield* Deferred.make<void>()
      const asked = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const door = open({
        receive: () => Effect.succeed(Stream.fromEffect(operation)),
        sendRaw: () => Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(answer))
      })
      const { client, port } = yield* Scope.extend(door, scope)
      const call = stream(client, "Receive", { id: "c1" })
      const status = yield* Effect.fork(next<grpc.StatusObject>(call, "status"))
      yield* called
      const sent = yield* Effect.fork(unary(client, "SendRaw", {}))
      yield* Deferred.await(asked)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      expect(yield* isInterrupted).toBe(true)
      expect((yield* status).code).toBe(grpc.status.UNAVAILABLE)
      yield* Deferred.succeed(answer, undefined)
      expect(yield* sent).toEqual({})
      yield* closing
      yield* open({}, { settings: { grpcPort: port } })
    })
  )

  it.scopedLive("closing takes a second at most, whatever calls and half-open connections there are", () =>
    Effect.gen(function* () {
      const { called, isInterrupted, operation } = yield* hanging
      const scope = yield* Scope.make()
      const settings = yield* certificate
      const { port } = yield* Scope.extend(open({ sendRaw: () => operation }, { settings }), scope)
      const client = yield* makeClient(`localhost:${port}`, grpc.credentials.createSsl(Buffer.from(TEST_CERT)))
      const silent = Net.connect(port, "127.0.0.1").resume() // never begins its TLS handshake
      silent.on("error", () => {})
      yield* next(silent, "connect")
      const sent = yield* Effect.fork(Effect.flip(unary(client, "SendRaw", {})))
      yield* called
      const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
      expect(yield* isInterrupted).toBe(true)
      expect((yield* sent).code).not.toBe(grpc.status.OK)
      expect(Duration.toMillis(took)).toBeLessThan(2000)
      if (!silent.closed) yield* next(silent, "close")
    })
  )
})
