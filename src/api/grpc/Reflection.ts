/** Server reflection (v1 and v1alpha) from embedded descriptors: no .proto file of this project is needed at run time. */
import { type DescFile, toBinary } from "@bufbuild/protobuf"
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import type { Server } from "@grpc/grpc-js"
import { ReflectionService } from "@grpc/reflection"
import { file_websocketmanager_v1_websocketmanager } from "./generated/websocketmanager/v1/websocketmanager_pb.js"
import { healthFile } from "./HealthDescriptor.js"

/** A file and all it imports, imports first. */
const withImports = (file: DescFile): ReadonlyArray<FileDescriptorProto> => [
  ...new Set([...file.dependencies.flatMap(withImports), file.proto])
]

export const addTo = (server: Server): void => {
  const files = [...withImports(file_websocketmanager_v1_websocketmanager), healthFile]
  const fileDescriptorProtos = files.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)))
  new ReflectionService({
    "": { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos }
  }).addToServer(server)
}
