/** The requests and answers of the operations on the fleet: instances, moves, drains. */
import * as Schema from "effect/Schema"

const optional = Schema.optional

/** What an instance is, as the answering one judges it: silent for half a ttl is SUSPECT, fenced is DEAD. */
export const InstanceStatus = Schema.Literal(
  "INSTANCE_STATUS_ALIVE",
  "INSTANCE_STATUS_SUSPECT",
  "INSTANCE_STATUS_DRAINING",
  "INSTANCE_STATUS_DEAD",
  "INSTANCE_STATUS_LEFT"
)
export type InstanceStatus = typeof InstanceStatus.Type
/** One instance of the fleet. */
export const Instance = Schema.Struct({
  /** as WSM_INSTANCE_ID says */
  id: Schema.String,
  /** of its present run: a UUIDv7 */
  incarnation: Schema.String,
  /** as this instance judges it */
  status: InstanceStatus,
  /** where peers forward calls to */
  address: Schema.String,
  /** as of its last heartbeat */
  connections: Schema.Number,
  /** by its own clock */
  startedAt: Schema.Date,
  /** when this instance saw its heartbeat change last */
  lastSeenAt: Schema.Date
})
export type Instance = typeof Instance.Type
/** All instances of the fleet, ended ones too for as long as they are remembered (an hour). */
export const ListInstancesResponse = Schema.Struct({
  /** the answering one too */
  instances: Schema.Array(Instance)
})

/** One connection to hand to another instance. */
export const MigrateRequest = Schema.Struct({
  /** of the connection */
  id: Schema.String,
  /** empty: the manager chooses */
  targetInstanceId: optional(Schema.String)
})
export type MigrateRequest = typeof MigrateRequest.Type

/** What a drain does with connections: hand them over, or wait until they are closed. */
export const DrainMode = Schema.Literal(
  "DRAIN_MODE_UNSPECIFIED",
  "DRAIN_MODE_MIGRATE_CONNECTIONS",
  "DRAIN_MODE_WAIT_FOR_CONNECTIONS_TO_CLOSE"
)
/** How the answering instance gives everything away. */
export const DrainRequest = Schema.Struct({
  /** default: migrate */
  mode: optional(DrainMode),
  /** milliseconds, default 30,000, at most an hour; what is left then is released */
  timeoutMs: optional(Schema.Number)
})
export type DrainRequest = typeof DrainRequest.Type
/** What became of the connections. */
export const DrainResponse = Schema.Struct({
  /** handed to another instance */
  migrated: Schema.Number,
  /** closed by themselves or by a caller meanwhile */
  closed: Schema.Number,
  /** not moved in time: released, for other instances to claim */
  abandoned: Schema.Number
})
export type DrainResponse = typeof DrainResponse.Type

/** How far the fleet is evened out. */
export const RebalanceRequest = Schema.Struct({
  /** 0: no limit */
  maxMoves: optional(Schema.Number),
  /** only count what would move */
  dryRun: optional(Schema.Boolean)
})
export type RebalanceRequest = typeof RebalanceRequest.Type
/** What was moved. */
export const RebalanceResponse = Schema.Struct({
  /** or what would move, in a dry run */
  moved: Schema.Number,
  /** moves that did not come about; these connections are where they were */
  failed: Schema.Number,
  /** instance id → connections, afterwards */
  connections: Schema.Record({ key: Schema.String, value: Schema.Number })
})
export type RebalanceResponse = typeof RebalanceResponse.Type
