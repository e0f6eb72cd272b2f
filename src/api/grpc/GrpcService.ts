/**
 * The bridge: each gRPC method is the operation of the same name of the RPC group, run as a fiber. Decode, call, encode.
 *
 * A call's deadline, its cancellation and a lost connection interrupt its fiber. Messages are decoded here and not in grpc-js, so
 * that malformed bytes are an `InvalidRequest` like over every other door.
 */
import { type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf"
import type * as grpc from "@grpc/grpc-js"
import { Metadata } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InvalidRequest, type ManagerError } from "../../domain/Errors.js"
import type { ReceiveResponse } from "../../domain/Messages.js"
import {
  isStreamMethod,
  type Method,
  type StreamMethod,
  type StreamTypes,
  type UnaryMethod,
  type UnaryTypes
} from "../../domain/Methods.js"
import type { ConnectionManager } from "../../manager/ConnectionManager.js"
import * as Executor from "../../manager/Executor.js"
import { clientOf, type StreamQuota } from "../../manager/StreamQuota.js"
import type { Metrics } from "../../observability/Metrics.js"
import { callersSpan, doorSpan } from "../../observability/Spans.js"
import { CallDeadline } from "../../ports/CallDeadline.js"
import { codecOf } from "./Convert.js"
import { encodeReceiveResponse } from "./FrameWriter.js"
import { WebSocketManagerService } from "./generated/websocketmanager/v1/websocketmanager_pb.js"
import * as Oversize from "./Oversize.js"
import { statusOf } from "./Status.js"
import * as StreamWriter from "./StreamWriter.js"
import { scannerOf } from "./WireScan.js"

export interface Bridge {
  readonly definition: grpc.ServiceDefinition
  readonly implementation: grpc.UntypedServiceImplementation
  /** Ends every open stream with UNAVAILABLE; unary calls go on. */
  readonly endStreams: Effect.Effect<void>
}

/** The calls live in the scope: closing it interrupts those that are left. */
export const make: Effect.Effect<Bridge, never, ConnectionManager | Metrics | StreamQuota | Scope.Scope> = Effect.gen(
  function* () {
    const executor = yield* Executor.make("grpc")
    const unaryCalls = yield* FiberSet.make<Buffer, ManagerError>()
    const streams = yield* FiberSet.make<void, ManagerError>()
    const runUnary = yield* FiberSet.runtime(unaryCalls)<never>()
    const runStream = yield* FiberSet.runtime(streams)<never>()

    const unary = <K extends UnaryMethod>(desc: DescMethod, method: K): grpc.handleUnaryCall<Buffer, Buffer> => {
      const decode = decoder<UnaryTypes[K][0]>(desc)
      const encode = encoder(desc)
      return (call, callback) => {
        const fiber = runUnary(
          decode(call.request).pipe(
            Effect.flatMap((request) => executor.call(method, request)),
            Effect.flatMap((answer) => told(method)(Effect.sync(() => encode(answer)))),
            Effect.provideService(CallDeadline, Number(call.getDeadline())),
            spanOf(method, call.metadata)
          )
        )
        interruptOnCancel(call, fiber)
        fiber.addObserver((exit) => {
          if (Exit.isSuccess(exit)) callback(null, exit.value)
          else callback(statusOf(exit.cause))
        })
      }
    }

    const streaming = <K extends StreamMethod>(
      desc: DescMethod,
      method: K
    ): grpc.handleServerStreamingCall<Buffer, Buffer> => {
      const decode = decoder<StreamTypes[K][0]>(desc)
      const encodeItem =
        method === "Receive" ? (item: unknown) => encodeReceiveResponse(item as ReceiveResponse) : encoder(desc)
      return (call) => {
        const writer = StreamWriter.make(call)
        const [, address, port] = /^(.*):(\d+)$/.exec(call.getPeer()) ?? []
        const caller = clientOf(address, Number(port))
        const encode = Oversize.counting<StreamTypes[K][1]>(encodeItem)
        const fiber = runStream(
          decode(call.request).pipe(
            Effect.flatMap((request) => executor.open(method, request, caller)),
            Effect.tap(() => Effect.sync(() => call.sendMetadata(new Metadata()))),
            Effect.flatMap(Stream.runForEachChunk((items) => told(method)(writer.writeAll(items, encode)))),
            Effect.scoped,
            spanOf(method, call.metadata)
          )
        )
        interruptOnCancel(call, fiber)
        fiber.addObserver((exit) => {
          if (Exit.isSuccess(exit)) call.end()
          else call.emit("error", statusOf(exit.cause))
        })
      }
    }

    const implementation: Record<string, grpc.UntypedHandleCall> = {}
    for (const desc of WebSocketManagerService.methods) {
      const method = desc.name as Method
      implementation[desc.name] = isStreamMethod(method) ? streaming(desc, method) : unary(desc, method)
    }
    return { definition, implementation, endStreams: FiberSet.clear(streams) }
  }
)

/** Of the caller's trace, where its metadata has a `traceparent`. */
const spanOf = (method: Method, metadata: Metadata) => {
  const [traceparent] = metadata.get("traceparent")
  return doorSpan(`Grpc.${method}`, callersSpan(typeof traceparent === "string" ? traceparent : undefined))
}

const raw = { serialize: (bytes: Buffer) => bytes, deserialize: (bytes: Buffer) => bytes }

/** The methods by name, with bytes in and bytes out. */
const definition: grpc.ServiceDefinition = Object.fromEntries(
  WebSocketManagerService.methods.map((method) => [
    method.name,
    {
      path: `/${WebSocketManagerService.typeName}/${method.name}`,
      requestStream: false,
      responseStream: method.methodKind === "server_streaming",
      requestSerialize: raw.serialize,
      requestDeserialize: raw.deserialize,
      responseSerialize: raw.serialize,
      responseDeserialize: raw.deserialize
    }
  ])
)

const decoder = <Request>({ input }: DescMethod): ((bytes: Buffer) => Effect.Effect<Request, InvalidRequest>) => {
  const codec = codecOf(input)
  const scan = scannerOf(input)
  return (bytes) =>
    Effect.try({
      try: () => {
        // a plain view: with a Buffer, every bytes field of the request would be one
        const message = plainView(bytes)
        scan(message)
        return codec.toRpc(fromBinary(input, message, { readUnknownFields: false })) as Request
      },
      catch: (error) => (error instanceof InvalidRequest ? error : malformed(error))
    })
}

const encoder = ({ output }: DescMethod): ((answer: unknown) => Buffer) => {
  const codec = codecOf(output)
  return (answer) => {
    const bytes = toBinary(output, codec.toMessage(answer))
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

const plainView = (bytes: Buffer) => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const malformed = (error: unknown): InvalidRequest => {
  const text = error instanceof TypeError && "code" in error && error.code === "ERR_ENCODING_INVALID_ENCODED_DATA"
  return new InvalidRequest({ field: "", reason: text ? "a text is not UTF-8" : "the message is not valid protobuf" })
}

/** An answer that cannot be encoded is a bug: its story goes to the log, since the caller does not learn of it. */
const told =
  (method: Method) =>
  <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.tapErrorCause(effect, (cause) =>
      Cause.isDie(cause) ? Effect.logError(`the answer of ${method} cannot be encoded`, cause) : Effect.void
    )

const interruptOnCancel = (
  call: { on: (event: "cancelled", listener: () => void) => unknown },
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): void => {
  call.on("cancelled", () => fiber.unsafeInterruptAsFork(fiber.id()))
}
