import { describe, expect, it } from "vitest"
import type { ResolvedKeepAlive } from "../../src/domain/Spec.js"
import { KeepAlive, type KeepAliveTarget } from "../../src/socket/wire/KeepAlive.js"
import { makeTimers, MAX_TIMER_MS, type Timers } from "../../src/socket/wire/Timers.js"

/** Time that goes when it is told to. */
const virtualTime = () => {
  let now = 1000
  const pending = new Set<{ readonly at: number; readonly f: () => void }>()
  const timers: Timers = {
    now: () => now,
    after: (ms, f) => {
      const entry = { at: now + Math.min(Math.max(0, ms), MAX_TIMER_MS), f }
      pending.add(entry)
      return () => pending.delete(entry)
    }
  }
  const run = (until: number, stepTo: (at: number) => number) => {
    for (;;) {
      const next = [...pending].filter((e) => e.at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      pending.delete(next)
      now = Math.max(now, stepTo(next.at))
      next.f()
    }
    now = Math.max(now, until)
  }
  return {
    timers,
    pending: () => pending.size,
    /** Time passes, timers fire when due. */
    pass: (ms: number) => run(now + ms, (at) => at),
    /** The event loop is blocked: all timers fire at its end. */
    block: (ms: number) => {
      const until = now + ms
      run(until, () => until)
    }
  }
}

const OFF: ResolvedKeepAlive = {
  pingIntervalMs: Infinity,
  deadAfterMs: Infinity,
  idleAfterMs: Infinity,
  ping: undefined
}
const appPing = (intervalMs: number) => ({ data: new Uint8Array(), binary: false, intervalMs })

const start = (clocks: Partial<ResolvedKeepAlive>, random = () => 0) => {
  const time = virtualTime()
  const log: Array<string> = []
  let may = true
  let bytes = 0
  const target: KeepAliveTarget = {
    bytesRead: () => bytes,
    ping: () => log.push("ping"),
    sendPing: () => log.push("app"),
    silent: (cause) => log.push(cause),
    mayAct: () => may,
    faulted: (defect) => {
      throw defect
    }
  }
  const alive = new KeepAlive({ ...OFF, ...clocks }, target, time.timers, random)
  return { ...time, log, alive, forbid: () => (may = false), allow: () => (may = true), bytesCame: () => bytes++ }
}

describe("KeepAlive", () => {
  it("sends both pings on their interval", () => {
    const t = start({ pingIntervalMs: 100, ping: appPing(250) })
    t.pass(99)
    expect(t.log).toEqual([])
    t.pass(401)
    expect(t.log.join(" ")).toBe("ping ping app ping ping ping app")
  })

  it("pings go out up to a tenth early, never late", () => {
    const at: Array<number> = []
    const t = start({ pingIntervalMs: 1000 }, () => 0.5)
    for (let i = 0; i < 2000; i++) {
      t.pass(1)
      if (t.log.length > at.length) at.push(i + 1)
    }
    expect(at).toEqual([950, 1900])
  })

  it("what is due is told, also where the sum of the times is rounded down", () => {
    const began = 24_262.86873790308
    expect(began + 60_000 - began).toBeLessThan(60_000)
    for (const clocks of [{ deadAfterMs: 60_000 }, { idleAfterMs: 60_000 }]) {
      let now = began
      let armed: (() => void) | undefined
      const log: Array<string> = []
      const target: KeepAliveTarget = {
        bytesRead: () => 0,
        ping: () => {},
        sendPing: () => {},
        silent: (cause) => log.push(cause),
        mayAct: () => true,
        faulted: (defect) => {
          throw defect
        }
      }
      const after: Timers["after"] = (ms, f) => {
        armed = () => {
          now += ms
          f()
        }
        return () => {}
      }
      const alive = new KeepAlive({ ...OFF, ...clocks }, target, { now: () => now, after }, () => 0)
      for (let i = 0; i < 10 && log.length === 0; i++) armed?.()
      alive.stop()
      expect(log.length).toBe(1)
    }
  })

  it("nothing goes out while it may not act, and it goes on afterwards", () => {
    const t = start({ pingIntervalMs: 100, ping: appPing(100) })
    t.forbid()
    t.pass(350)
    expect(t.log).toEqual([])
    t.allow()
    t.pass(100)
    expect(t.log).toEqual(["ping", "app"])
  })

  it("a peer that never sent anything is dead from the start on", () => {
    const t = start({ deadAfterMs: 300 })
    t.pass(299)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
    t.pass(10_000)
    expect(t.log).toEqual(["dead"])
    expect(t.pending()).toBe(0)
  })

  it("any frame puts off death, pong and ping included", () => {
    const t = start({ deadAfterMs: 300 })
    t.pass(200)
    t.alive.controlFrame()
    t.pass(299)
    t.alive.dataFrame()
    t.pass(299)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
  })

  it("bytes put off death, a frame that came with them counts from when it came, and neither puts off idleness", () => {
    const t = start({ deadAfterMs: 300, idleAfterMs: 2000 })
    for (let i = 0; i < 10; i++) {
      t.bytesCame()
      t.pass(100)
    }
    expect(t.log).toEqual([])
    t.bytesCame()
    t.alive.controlFrame()
    t.pass(299)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
    const idle = start({ deadAfterMs: 300, idleAfterMs: 500 })
    for (let i = 0; i < 10; i++) {
      idle.bytesCame()
      idle.pass(100)
    }
    expect(idle.log).toEqual(["idle"])
  })

  it("only data frames put off idleness", () => {
    const t = start({ deadAfterMs: 300, idleAfterMs: 500 })
    t.pass(250)
    t.alive.dataFrame()
    t.pass(250)
    t.alive.controlFrame()
    t.pass(249)
    t.alive.controlFrame()
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["idle"])
  })

  it("a paused socket is never dead nor idle, and both clocks start anew on resume", () => {
    const t = start({ deadAfterMs: 300, idleAfterMs: 400 })
    t.pass(299)
    t.alive.paused()
    t.pass(10_000)
    t.alive.resumed()
    t.pass(299)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
  })

  it("a paused socket is pinged on", () => {
    const t = start({ pingIntervalMs: 100, deadAfterMs: 300 })
    t.alive.paused()
    t.pass(1000)
    expect(t.log).toEqual(Array(10).fill("ping"))
  })

  it("time in which the event loop was blocked does not count", () => {
    const t = start({ deadAfterMs: 1000 })
    t.pass(900)
    t.block(5000)
    expect(t.log).toEqual([])
    t.alive.controlFrame()
    t.pass(999)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
  })

  it("after a blocked event loop a peer that stays silent is dead all the same", () => {
    const t = start({ deadAfterMs: 1000 })
    t.block(5000)
    // a third of the time was over when it was looked at last, and a quarter of a second is for what waits to be read
    t.pass(916)
    expect(t.log).toEqual([])
    t.pass(1)
    expect(t.log).toEqual(["dead"])
  })

  it("one timer at most, none after stop", () => {
    const t = start({ pingIntervalMs: 10, deadAfterMs: 300, idleAfterMs: 500, ping: appPing(20) })
    for (let i = 0; i < 100; i++) {
      t.alive.dataFrame()
      t.pass(7)
      expect(t.pending()).toBe(1)
    }
    t.alive.stop()
    expect(t.pending()).toBe(0)
  })

  it("intervals of 2^32-1 milliseconds neither fire at once nor overflow", () => {
    const t = start({ pingIntervalMs: 2 ** 32 - 1, deadAfterMs: 2 ** 32 - 1, idleAfterMs: 2 ** 32 - 1 })
    t.pass(MAX_TIMER_MS + 10)
    expect(t.log).toEqual([])
    t.alive.controlFrame()
    t.alive.dataFrame()
    t.pass(MAX_TIMER_MS + 10)
    expect(t.log).toEqual(["ping"])
  })

  it("a real timer that is too long for node waits instead of firing at once", async () => {
    let fired = false
    const cancel = makeTimers().after(2 ** 32 - 1, () => (fired = true), { faulted: () => {} })
    await new Promise((resolve) => setTimeout(resolve, 20))
    cancel()
    expect(fired).toBe(false)
  })
})
