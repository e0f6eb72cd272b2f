/**
 * `grpc.health.v1.Health`: SERVING while the instance is ready, NOT_SERVING while it boots, drains or is fenced. The answer
 * is the same for the whole server ("") and for the service by name.
 *
 * Open to strangers, so nothing is kept by what they say: other names are not found, and no name is repeated in an answer.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { STRANGER } from "../../domain/Limits.js"
import { Health } from "../../manager/Health.js"
import { WebSocketManagerService } from "./generated/websocketmanager/v1/websocketmanager_pb.js"

export const HEALTH = "/grpc.health.v1.Health/"

const NAMES: ReadonlyArray<string> = ["", WebSocketManagerService.typeName]
const SERVING = 1
const NOT_SERVING = 2

/** HealthCheckRequest { service = 1 }; undefined: it is no such message. */
const nameIn = (request: Uint8Array): string | undefined => {
  const reader = new BinaryReader(request)
  let name = ""
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    if (field === 1 && type === WireType.LengthDelimited) name = reader.string()
    else reader.skip(type, field)
  }
  return NAMES.find((known) => known === name)
}

const buffer = (writer: BinaryWriter): Buffer => Buffer.from(writer.finish())

/** HealthCheckResponse { status = 1 } */
const response = (ready: boolean): Buffer =>
  buffer(new BinaryWriter().tag(1, WireType.Varint).int32(ready ? SERVING : NOT_SERVING))

/** HealthListResponse { map<string, HealthCheckResponse> statuses = 1 } */
const list = (ready: boolean): Buffer => {
  const writer = new BinaryWriter()
  for (const name of NAMES) {
    writer.tag(1, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(name)
    writer.tag(2, WireType.LengthDelimited).bytes(response(ready))
    writer.join()
  }
  return buffer(writer)
}

const same = (bytes: Buffer): Buffer => bytes
const method = (name: string, responseStream: boolean) => ({
  path: `${HEALTH}${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same
})
const definition: grpc.ServiceDefinition = {
  Check: method("Check", false),
  Watch: method("Watch", true),
  List: method("List", false)
}

const NOT_FOUND = { code: grpc.status.NOT_FOUND, details: "no service of that name is here" }
const MALFORMED = { code: grpc.status.INVALID_ARGUMENT, details: "the message is not valid protobuf" }
const TOO_MANY = { code: grpc.status.RESOURCE_EXHAUSTED, details: "too many health watches: ask Check instead" }

const refusalOf = (request: Buffer) => {
  try {
    return nameIn(request) === undefined ? NOT_FOUND : undefined
  } catch {
    return MALFORMED
  }
}

/** Follows the manager's health until the scope closes, which says NOT_SERVING. */
export const addTo = (server: grpc.Server): Effect.Effect<void, never, Health | Scope.Scope> =>
  Effect.gen(function* () {
    const health = yield* Health
    const watches = new Set<grpc.ServerWritableStream<Buffer, Buffer>>()
    let told: boolean | undefined
    const tell = (ready: boolean) => {
      if (ready === told) return
      told = ready
      for (const watch of watches) watch.write(response(ready))
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const stop = health.onChange(tell)
        tell(health.ready())
        return stop
      }),
      (stop) =>
        Effect.sync(() => {
          stop()
          tell(false)
        })
    )
    const ready = () => told === true

    const check: grpc.handleUnaryCall<Buffer, Buffer> = ({ request }, callback) => {
      const refusal = refusalOf(request)
      if (refusal === undefined) callback(null, response(ready()))
      else callback(refusal)
    }
    const watch: grpc.handleServerStreamingCall<Buffer, Buffer> = (call) => {
      const refusal = refusalOf(call.request) ?? (watches.size < STRANGER.GRPC_HEALTH_WATCHES ? undefined : TOO_MANY)
      if (refusal !== undefined) return void call.emit("error", refusal)
      watches.add(call)
      call.on("cancelled", () => watches.delete(call))
      call.write(response(ready()))
    }
    const listAll: grpc.handleUnaryCall<Buffer, Buffer> = (_call, callback) => callback(null, list(ready()))
    server.addService(definition, { Check: check, Watch: watch, List: listAll })
  })
