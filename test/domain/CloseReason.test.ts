import { describe, expect, it } from "vitest"
import { decideClose, decideDial } from "../../src/domain/CloseReason.js"

const none = { giveUpCodes: new Set<number>(), retryCodes: new Set<number>() }
const GIVE_UP = [3000, 3003, 4004, 4010, 4011, 4012, 4013, 4014, 4400, 4401, 4403, 4406]
const SLOWLY = [1008, 1013, 4008, 4029, 4408, 4409, 4429]
const SLOW_STATUSES = [400, 401, 403, 404, 410, 429, 503]
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const http = (httpStatus: number | undefined) =>
  ({ _tag: "DialFailure", kind: "http", httpStatus, closeCode: undefined }) as const

describe("CloseReason", () => {
  it("gives up after exactly the codes of the contract", () => {
    expect(range(1000, 4999).filter((code) => decideClose(code, none) === "give-up")).toEqual(GIVE_UP)
  })

  it("retries slowly after exactly the codes of the contract", () => {
    expect(range(1000, 4999).filter((code) => decideClose(code, none) === "retry-slowly")).toEqual(SLOWLY)
  })

  it("retries slowly after exactly the HTTP statuses of the contract, and never gives up on one", () => {
    expect(range(100, 599).filter((status) => decideDial(http(status), none) === "retry-slowly")).toEqual(SLOW_STATUSES)
    expect(range(100, 599).filter((status) => decideDial(http(status), none) === "give-up")).toEqual([])
    expect(decideDial(http(undefined), none)).toBe("retry")
  })

  it("give_up_codes and retry_codes stand over the table, giving up over retrying", () => {
    const own = { giveUpCodes: new Set([1000, 4005]), retryCodes: new Set([4401, 1008, 4005]) }
    expect([1000, 4401, 1008, 4005, 4403].map((code) => decideClose(code, own))).toEqual([
      "give-up",
      "retry",
      "retry",
      "give-up",
      "give-up"
    ])
  })

  it("a close during the handshake steps is judged by its code", () => {
    const closed = (closeCode: number) =>
      ({ _tag: "DialFailure", kind: "handshake", httpStatus: undefined, closeCode }) as const
    expect([4401, 1013, 1006].map((code) => decideDial(closed(code), none))).toEqual([
      "give-up",
      "retry-slowly",
      "retry"
    ])
  })

  it("a missing secret and a forbidden target are retried slowly, other failures at the usual pace", () => {
    const of = (kind: "secret" | "dns" | "refused" | "timeout" | "tls" | "handshake") =>
      decideDial({ _tag: "DialFailure", kind, httpStatus: undefined, closeCode: undefined }, none)
    expect(of("secret")).toBe("retry-slowly")
    expect(decideDial({ _tag: "TargetForbidden" }, none)).toBe("retry-slowly")
    expect([of("dns"), of("refused"), of("timeout"), of("tls"), of("handshake")]).toEqual(Array(5).fill("retry"))
  })
})
