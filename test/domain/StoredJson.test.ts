import { describe, expect, it } from "vitest"
import { decodeStored } from "../../src/domain/stored/ConnectionRecord.js"

describe("a record that cannot be read", () => {
  it("is told by its place: nothing that stands in it is shown", () => {
    const record = {
      v: 1,
      id: "a",
      specHash: "",
      owner: "one",
      incarnation: "i",
      epoch: 1,
      nonce: "n",
      topic: "",
      tags: {},
      status: "CONNECTION_STATUS_CONNECTED",
      createdAt: "2026-01-01T00:00:00.000Z",
      lastError: "",
      lastCloseCode: 0,
      last: { epoch: 1, sequence: 0 },
      spec: { url: "ws://peer", headers: ["Bearer hunter2"] }
    }
    const left = decodeStored("a", JSON.stringify(record))
    expect(left).toMatchObject({ _tag: "Left", left: { _tag: "StateStoreUnavailable" } })
    expect(JSON.stringify(left)).toContain("headers is not what this version knows")
    expect(JSON.stringify(left)).not.toContain("hunter2")
  })
})
