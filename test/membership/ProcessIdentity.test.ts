import { spawn } from "node:child_process"
import { once } from "node:events"
import { describe, expect, it } from "@effect/vitest"
import { parseUuid, uuidv7, uuidv8FromRequest } from "../../src/common/Uuid.js"
import { nextEpoch } from "../../src/domain/stored/ConnectionRecord.js"
import * as InstanceId from "../../src/membership/InstanceId.js"
import * as ProcessIdentity from "../../src/membership/ProcessIdentity.js"

describe.runIf(process.platform === "linux")("the process behind a record", () => {
  it("is gone when it was killed, and only then", async () => {
    const me = ProcessIdentity.make()
    expect(me.isGone(me)).toBe(false)
    const child = spawn(process.execPath, [
      "-e",
      "process.stdout.write(require('fs').readFileSync('/proc/self/stat', 'latin1')); setInterval(() => {}, 1000)"
    ])
    const [text] = (await once(child.stdout, "data")) as [Buffer]
    const stat = String(text)
    const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!
    const record = { ...me, pid: child.pid!, processStart: start }
    expect(me.isGone(record)).toBe(false)
    expect(me.isGone({ ...record, processStart: `${Number(start) - 1}` })).toBe(true)
    child.kill("SIGKILL")
    await once(child, "exit")
    expect(me.isGone(record)).toBe(true)
    expect(me.isGone({ ...record, bootId: "another boot" })).toBe(false)
    expect(me.isGone({ ...record, pidNamespace: "another namespace" })).toBe(false)
  })
})

describe("the identity of an instance", () => {
  const settings = {
    backing: "embedded",
    instanceId: "",
    advertiseAddress: "",
    host: "127.0.0.1",
    httpPort: 5001,
    tlsCert: ""
  } as const
  const around = { hostName: "my_host", boundPort: 5001, podIp: "" }

  it("is made of the host name and the port, the address of what is really bound", () => {
    expect(InstanceId.make(settings, around)).toEqual({ id: "my-host-5001", address: "http://127.0.0.1:5001" })
    expect(InstanceId.make({ ...settings, backing: "dapr" }, around).id).toBe("my-host")
    const random = InstanceId.make({ ...settings, httpPort: 0 }, { ...around, boundPort: 41234 })
    expect(random.id).toMatch(/^my-host-[0-9a-f]{8}$/)
    expect(random.address).toBe("http://127.0.0.1:41234")
    expect(InstanceId.make({ ...settings, host: "::1", tlsCert: "c.pem" }, around).address).toBe("https://[::1]:5001")
    expect(InstanceId.make({ ...settings, host: "0.0.0.0" }, { ...around, podIp: "10.1.2.3" }).address).toBe(
      "http://10.1.2.3:5001"
    )
    expect(InstanceId.make({ ...settings, host: "0.0.0.0" }, around).address).not.toContain("0.0.0.0")
  })
})

describe("ids and epochs", () => {
  it("a minted id is a UUIDv7 of its time", () => {
    expect(uuidv7(0x0123456789ab)).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(uuidv7(1)).not.toBe(uuidv7(1))
  })

  it("a request_id makes the same UUIDv8 for ever", () => {
    expect(uuidv8FromRequest("order-1")).toBe("e9c2c973-674e-848b-b5ea-7b451a5301d6")
  })

  it("a UUID of any version and case is taken in its canonical form", () => {
    expect(parseUuid("CBD9929E-6E6C-8EF4-86A4-4A4AE37ECF40")).toBe("cbd9929e-6e6c-8ef4-86a4-4a4ae37ecf40")
    for (const text of ["", "x", "cbd9929e6e6c8ef486a44a4ae37ecf40", "cbd9929e-6e6c-8ef4-86a4-4a4ae37ecf4g"]) {
      expect(parseUuid(text)).toBeUndefined()
    }
  })

  it("an epoch grows over the old one, and over a clock that was set back", () => {
    expect(nextEpoch(0, 1_700_000_000_999)).toBe(1_700_000_000)
    expect(nextEpoch(1_800_000_000, 1_700_000_000_000)).toBe(1_800_000_001)
  })
})
