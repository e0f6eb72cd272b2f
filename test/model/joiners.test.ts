/** What is moved onto an instance that has just joined, and what a Watch counts over a broken link; in virtual time. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { expect, it } from "vitest"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import type { WatchResponse } from "../../src/domain/Messages.js"
import { World } from "./World.js"

const TIMEOUT = 180_000

/** Milliseconds without a socket of each connection that loses its own while `run` goes on. */
const downtimes = (w: World, run: () => void, millis: number): ReadonlyArray<number> => {
  const up = () => new Set([...w.cluster.sockets.open].map(({ target }) => target.headers["x-connection"]!))
  const ids = up()
  const down = new Map<string, number>()
  run()
  for (let t = 0; t < millis; t += 10) {
    w.go(10)
    const now = up()
    for (const id of ids) if (!now.has(id)) down.set(id, (down.get(id) ?? 0) + 10)
  }
  expect(up()).toEqual(ids)
  return [...down.values()].toSorted((a, b) => a - b)
}

/** Some first dials of this world fail: of those the back-off is measured. */
const median = (millis: ReadonlyArray<number>): number => millis[millis.length >> 1]!

const connected = (w: World, instances: number): void => {
  for (let i = 0; i < 40; i++) {
    w.connect(i % instances, `key-${i}`)
    w.go(20)
  }
  w.go(6000)
}

/** Of so many instances, to whom one more comes: without a socket by what is done that long after it was ready. */
const afterJoining = (
  seed: number,
  instances: number,
  wait: number,
  act: (w: World) => void,
  settings: Partial<SettingsShape> = {}
): ReadonlyArray<number> => {
  let down: ReadonlyArray<number> = []
  World.play(seed, { drift: 0 }, (w) => {
    for (let i = 0; i < instances; i++) w.start({ settings })
    w.go(6000)
    connected(w, instances)
    const joiner = w.start()
    while (!w.cluster.isReady(joiner)) w.go(10)
    w.go(wait)
    down = downtimes(w, () => act(w), 15_000)
  })
  return down
}

it(
  "Rebalance onto an instance that has just joined waits until it may dial: nothing is without a socket meanwhile",
  () => {
    const down = afterJoining(3, 2, 1500, (w) => w.rebalance(0))
    expect(down.length).toBeGreaterThan(10)
    expect(median(down)).toBeLessThan(500)
  },
  TIMEOUT
)

it(
  "a drain right after another instance came back does not move feeds to where they could not be dialled yet",
  () => {
    const down = afterJoining(5, 2, 1000, (w) => w.drain(0))
    expect(down.length).toBeGreaterThan(10)
    expect(median(down)).toBeLessThan(500)
  },
  TIMEOUT
)

it(
  "with nobody else there, a drain waits for the one that has just joined",
  () => {
    // time enough to wait in
    const settings = { drainTimeout: Duration.seconds(30) }
    const down = afterJoining(6, 1, 1000, (w) => w.drain(0), settings)
    expect(down.length).toBeGreaterThan(30)
    expect(median(down)).toBeLessThan(500)
  },
  TIMEOUT
)

it(
  "what an instance told while its link was broken is counted as missed once it is back",
  () => {
    World.play(7, { drift: 0 }, (w) => {
      w.start()
      w.start()
      w.start()
      w.go(8000)
      const got: Array<WatchResponse> = []
      const watch = (manager: Parameters<Parameters<typeof w.cluster.run>[1]>[0]) =>
        Effect.scoped(
          Effect.flatMap(manager.watch({ ids: [], filters: [] }), (events) =>
            Stream.runForEach(events, (event) => Effect.sync(() => got.push(event)))
          )
        )
      w.time.run(Effect.ignore(w.cluster.run(0, watch)))
      w.go(2000)
      const [a, b] = [w.instance(0).address, w.instance(1).address]
      w.cluster.network.reset(a, b)
      w.cluster.cutFromPeers(0, 1)
      w.go(300)
      // takes the count of the break itself
      w.connect(2, "told beside")
      w.go(700)
      w.connect(1, "told behind the broken link")
      w.go(300)
      const before = got.length
      w.cluster.network.heal(a, b)
      w.go(2000)
      w.connect(1, "told again")
      w.go(1000)
      expect(got.length).toBeGreaterThan(before)
      expect(got[before]!.missed).toBeGreaterThan(0)
    })
  },
  TIMEOUT
)
