/**
 * `dapr.proto.runtime.v1.AppCallbackHealthCheck`, by which a sidecar learns whether its application lives. It is healthy
 * from the first call on until the last record is written, through the whole drain. A sidecar that is asked to end while a
 * drain goes on stays for as long as this says so. Readiness is something else, and a sidecar must not take it for this.
 */
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import { Health } from "../../manager/Health.js"

/** What a sidecar asks of its application: this service, and subscriptions and bindings, of which there are none. */
export const CALLBACKS = "/dapr.proto.runtime.v1.AppCallback"

const EMPTY_MESSAGE = Buffer.alloc(0)
const empty = { serialize: () => EMPTY_MESSAGE, deserialize: () => EMPTY_MESSAGE }

/** Both messages are empty: success is the answer. */
const definition: grpc.ServiceDefinition = {
  HealthCheck: {
    path: `${CALLBACKS}HealthCheck/HealthCheck`,
    requestStream: false,
    responseStream: false,
    requestSerialize: empty.serialize,
    requestDeserialize: empty.deserialize,
    responseSerialize: empty.serialize,
    responseDeserialize: empty.deserialize
  }
}

export const addTo = (server: grpc.Server): Effect.Effect<void, never, Health> =>
  Effect.map(Health, (health) => {
    const check: grpc.handleUnaryCall<Buffer, Buffer> = (_call, callback) =>
      health.phase() === "left"
        ? callback({ code: grpc.status.UNAVAILABLE, details: "everything is given away" })
        : callback(null, EMPTY_MESSAGE)
    server.addService(definition, { HealthCheck: check })
  })
