/** The messages of the proto and the Schemas behind every door have the same fields and the same names of enums. */
import type { DescEnum, DescMessage } from "@bufbuild/protobuf"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { describe, expect, it } from "vitest"
import { file_websocketmanager_v1_websocketmanager as FILE } from "../../src/api/grpc/generated/websocketmanager/v1/websocketmanager_pb.js"
import { ConnectionStatus } from "../../src/domain/ConnectionStatus.js"
import * as M from "../../src/domain/Messages.js"
import * as S from "../../src/domain/Spec.js"

type AnySchema = Schema.Schema<never, never> | Schema.Schema<any, any>

/** Where a message has another name here; all others have their own. */
const OTHER_NAMES: Record<string, AnySchema> = {
  Buffer: S.Buffering,
  ReconnectRequest: M.WithId,
  GetRequest: M.WithId,
  StopPublishRequest: M.WithId,
  ReceiveRequest: M.WithId,
  GetTagsRequest: M.WithId,
  GetTagRequest: M.TagRequest,
  DeleteTagRequest: M.TagRequest,
  ReconnectResponse: M.WithConnection,
  GetResponse: M.WithConnection,
  StartPublishResponse: M.WithConnection,
  StopPublishResponse: M.WithConnection,
  MigrateResponse: M.WithConnection,
  DisconnectResponse: M.Empty,
  SendRawResponse: M.Empty,
  SetTagResponse: M.Empty,
  SetTagsResponse: M.Empty,
  DeleteTagResponse: M.Empty,
  ListInstancesRequest: M.Empty
}

const ENUMS: Record<string, Schema.Schema<any, any>> = {
  ConnectionStatus,
  Packing: S.Packing,
  Overflow: S.Overflow,
  CorrelationMode: S.CorrelationMode,
  LeaseLoss: S.LeaseLoss,
  Handover: S.HandoverPolicy,
  InstanceStatus: M.InstanceStatus,
  DrainMode: M.DrainMode
}

/** Answers never say UNSPECIFIED; requests may. */
const ONLY_ANSWERED: ReadonlyArray<string> = ["ConnectionStatus", "InstanceStatus"]

const fieldsOf = (schema: AnySchema): ReadonlyArray<string> =>
  SchemaAST.getPropertySignatures(schema.ast)
    .map(({ name }) => String(name))
    .toSorted()

const literalsOf = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  SchemaAST.isUnion(ast) ? ast.types.flatMap(literalsOf) : SchemaAST.isLiteral(ast) ? [String(ast.literal)] : []

const schemaOf = (name: string): AnySchema | undefined =>
  OTHER_NAMES[name] ?? (M as Record<string, AnySchema>)[name] ?? (S as Record<string, AnySchema>)[name]

describe("the contract", () => {
  it.each(FILE.messages.map((message): [string, DescMessage] => [message.name, message]))(
    "%s has the fields of its Schema",
    (name, message) => {
      const schema = schemaOf(name)
      expect(schema, `${name}: no Schema of this name`).toBeDefined()
      expect(fieldsOf(schema!)).toEqual(message.fields.map(({ localName }) => localName).toSorted())
    }
  )

  it.each(FILE.enums.map((one): [string, DescEnum] => [one.name, one]))(
    "%s has the names of its Schema",
    (name, one) => {
      const names = one.values
        .map((value) => value.name)
        .filter((value) => !(ONLY_ANSWERED.includes(name) && value.endsWith("_UNSPECIFIED")))
      expect(literalsOf(ENUMS[name]!.ast).toSorted()).toEqual(names.toSorted())
    }
  )
})
