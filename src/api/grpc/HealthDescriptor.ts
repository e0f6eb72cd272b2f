/**
 * `grpc/health/v1/health.proto` as a descriptor, for reflection. The package that serves health has it only as text, and what a
 * loader makes of that has relative type names, which strict clients refuse.
 */
import { create } from "@bufbuild/protobuf"
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema
} from "@bufbuild/protobuf/wkt"

const PACKAGE = ".grpc.health.v1"

const singular = (name: string, number: number, type: Type, typeName = "") => ({
  name,
  number,
  type,
  typeName,
  jsonName: name,
  label: Label.OPTIONAL
})
const method = (name: string, inputType: string, outputType: string, serverStreaming: boolean) => ({
  name,
  inputType: `${PACKAGE}.${inputType}`,
  outputType: `${PACKAGE}.${outputType}`,
  serverStreaming
})

export const healthFile: FileDescriptorProto = create(FileDescriptorProtoSchema, {
  name: "grpc/health/v1/health.proto",
  package: "grpc.health.v1",
  syntax: "proto3",
  messageType: [
    { name: "HealthCheckRequest", field: [singular("service", 1, Type.STRING)] },
    {
      name: "HealthCheckResponse",
      field: [singular("status", 1, Type.ENUM, `${PACKAGE}.HealthCheckResponse.ServingStatus`)],
      enumType: [
        {
          name: "ServingStatus",
          value: ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].map((name, number) => ({ name, number }))
        }
      ]
    },
    { name: "HealthListRequest" },
    {
      name: "HealthListResponse",
      field: [
        {
          ...singular("statuses", 1, Type.MESSAGE, `${PACKAGE}.HealthListResponse.StatusesEntry`),
          label: Label.REPEATED
        }
      ],
      nestedType: [
        {
          name: "StatusesEntry",
          options: { mapEntry: true },
          field: [singular("key", 1, Type.STRING), singular("value", 2, Type.MESSAGE, `${PACKAGE}.HealthCheckResponse`)]
        }
      ]
    }
  ],
  service: [
    {
      name: "Health",
      method: [
        method("Check", "HealthCheckRequest", "HealthCheckResponse", false),
        method("Watch", "HealthCheckRequest", "HealthCheckResponse", true),
        method("List", "HealthListRequest", "HealthListResponse", false)
      ]
    }
  ]
})
