/** A connection as the manager has it, owned under a given life, without a store behind it. */
import * as Effect from "effect/Effect"
import { ByteBudget } from "../../src/common/ByteBudget.js"
import { CONNECTING, type ConnectionStatus } from "../../src/domain/ConnectionStatus.js"
import type { ConnectionRecord } from "../../src/domain/stored/ConnectionRecord.js"
import { resolveStored } from "../../src/domain/stored/StoredSpec.js"
import { ManagedConnection } from "../../src/manager/connection/ManagedConnection.js"
import type { Incarnation } from "../../src/membership/lease/Lease.js"
import * as Correlator from "../../src/messaging/correlation/Correlator.js"
import { Counter } from "../../src/observability/Metrics.js"
import type { Owned } from "../../src/ownership/ConnectionStore.js"

const RECORD: ConnectionRecord = {
  id: "one",
  spec: { url: "ws://127.0.0.1:1" },
  specHash: "",
  tags: {},
  topic: "",
  status: CONNECTING,
  createdAt: 0,
  owner: "here",
  incarnation: "first",
  epoch: 1,
  nonce: "",
  handover: undefined,
  connectedAt: undefined,
  lastFrameAt: undefined,
  lastError: "",
  lastCloseCode: 0,
  last: { epoch: 1, sequence: 0, at: 0 },
  unknown: {}
}

const LIVING = { valid: () => true, ended: () => false, awaitEnd: Effect.never }

export const managedConnection = (
  life: Pick<Incarnation, "valid" | "ended" | "awaitEnd"> = LIVING,
  status: ConnectionStatus = CONNECTING,
  id = RECORD.id
): ManagedConnection => {
  const record = { ...RECORD, id, status }
  const owned = { id: record.id, epoch: record.epoch, life, record: () => record } as unknown as Owned
  const budget = new ByteBudget(1024)
  return new ManagedConnection(
    owned,
    "here",
    resolveStored(record.spec).spec,
    Correlator.make(record.id, { budget, outOfStep: () => {} }),
    budget,
    undefined,
    () => 0,
    () => 0,
    new Counter()
  )
}
