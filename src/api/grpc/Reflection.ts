/** Server reflection (v1 and v1alpha) from the descriptors in the generated code: none of our .proto files is needed at run time. */
import { type DescFile, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import type { Server } from "@grpc/grpc-js"
import { loadSync } from "@grpc/proto-loader"
import { ReflectionService } from "@grpc/reflection"
import { protoPath as healthProto } from "grpc-health-check"
import { file_websocketmanager_v1_websocketmanager } from "./generated/websocketmanager/v1/websocketmanager_pb.js"

/** A file and all it imports, imports first. */
const withImports = (file: DescFile): ReadonlyArray<DescFile> => [
  ...new Set([...file.dependencies.flatMap(withImports), file])
]

export const addTo = (server: Server): void => {
  const fileDescriptorProtos = withImports(file_websocketmanager_v1_websocketmanager).map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto))
  )
  new ReflectionService({
    ...loadSync(healthProto),
    websocketmanager: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos }
  }).addToServer(server)
}
