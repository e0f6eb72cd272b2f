/**
 * A whole manager in this process beside a real sidecar, peers that send to it at a set rate, and the judge of what came
 * of it: every frame once or more, in order, or reported in a `gap`.
 */
import { randomUUID } from "node:crypto"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { expect } from "vitest"
import type { SettingsShape } from "../../src/config/SettingsShape.js"
import { acceptInOrder, type Gap, type GapReport, type Position } from "../../src/domain/AcceptInOrder.js"
import type { Connection } from "../../src/domain/Messages.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import type { ConnectRequest } from "../../src/domain/Spec.js"
import { Metrics } from "../../src/observability/Metrics.js"
import { until } from "../process/instanceProcess.js"
import { Accounting } from "../support/Accounting.js"
import * as C from "../support/Components.js"
import { streamEvents } from "../support/RedisStream.js"
import { type Peer, ScriptedServer } from "../support/ScriptedServer.js"
import type { Sidecar } from "../support/Sidecar.js"
import { type TestLogLine, TestManager } from "../support/TestManager.js"

export const LIFECYCLE = "websocketmanager.lifecycle"

/** Time enough for what waited to be published, on a machine with other things to do. */
const CATCH_UP_MS = 90_000

export interface Beside {
  readonly manager: TestManager
  readonly server: ScriptedServer
  readonly log: ReadonlyArray<TestLogLine>
  /** a metric, without its prefix, summed over its labels that have these values */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => number
  /** A connection that is open, with its peer. */
  readonly open: (request: Omit<ConnectRequest, "url">) => Effect.Effect<Feed>
}

/** A manager with short heartbeats beside this sidecar, and a server for what it dials. */
export const startManager = (
  { grpcPort, httpPort }: Pick<Sidecar, "httpPort" | "grpcPort">,
  settings: Partial<SettingsShape> = {}
): Effect.Effect<Beside, never, Scope.Scope> =>
  Effect.gen(function* () {
    const log: Array<TestLogLine> = []
    const server = yield* ScriptedServer.scoped()
    const all: Partial<SettingsShape> = {
      backing: "dapr",
      stateStore: C.STATE,
      pubsub: C.PUBSUB,
      daprHttpPort: httpPort,
      daprGrpcPort: grpcPort,
      instanceId: `i-${randomUUID().slice(0, 8)}`,
      heartbeatInterval: Duration.seconds(1),
      heartbeatTtl: Duration.seconds(4),
      ...settings
    }
    const manager = yield* Effect.acquireRelease(
      Effect.promise(() => TestManager.start({ log, settings: all })),
      (manager) => Effect.promise(() => manager.stop())
    )
    const metrics = yield* Effect.promise(() => manager.run(Metrics))
    let feeds = 0
    return {
      manager,
      server,
      log,
      metric: (name, labels = {}) => {
        const family = metrics.collect().find((family) => family.name === `websocketmanager_${name}`)
        return family!.samples
          .filter((sample) => sample.labels.every(([label, value]) => (labels[label] ?? value) === value))
          .reduce((sum, { value }) => sum + (typeof value === "number" ? value : value.count), 0)
      },
      open: (request) =>
        Effect.promise(async () => {
          const path = `/feed/${++feeds}`
          const { id } = await manager.run(manager.service.connect({ ...request, url: server.url + path }))
          return new Feed(manager, server, path, id, request.topic!)
        })
    }
  })

/** One connection: its peer, what that sent, and what the manager says of it. */
export class Feed {
  readonly sent: Array<Buffer> = []
  private readonly bySocket = new Map<Peer, number>()

  constructor(
    private readonly manager: TestManager,
    private readonly server: ScriptedServer,
    private readonly path: string,
    readonly id: string,
    readonly topic: string
  ) {}

  /** Every socket it has had, in order. */
  get sockets(): ReadonlyArray<Peer> {
    return this.server.peers.filter(({ url }) => url === this.path)
  }
  get peer(): Peer {
    return this.sockets.at(-1)!
  }
  /** sent on the present socket */
  get sentNow(): number {
    return this.bySocket.get(this.peer) ?? 0
  }

  /** Not on a socket that is closed. */
  send(data: string | Uint8Array): void {
    const { peer } = this
    if (peer.ws.readyState !== peer.ws.OPEN) return
    this.sent.push(Buffer.from(data as string))
    this.bySocket.set(peer, this.sentNow + 1)
    peer.send(data)
  }

  view(): Promise<Connection> {
    return this.manager.run(this.manager.service.get(this.id))
  }

  /** Frames that were reported lost, by number. */
  reported(): number {
    return this.events("gap").reduce((sum, { attributes }) => sum + (Number(attributes["lost"]) || 0), 0)
  }
  /** Its lifecycle events of this type. */
  events(type: string) {
    return this.manager.events.filter((event) => event.type === type && event.connectionId === this.id)
  }
}

/** Each feed sends so many frames a second, numbered, until the scope ends or `stop` is run. */
export const flood = (
  rates: ReadonlyArray<readonly [feed: Feed, perSecond: number]>,
  size = 200
): Effect.Effect<{ readonly stop: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const began = performance.now()
        const asked = rates.map(() => 0)
        return setInterval(() => {
          const seconds = (performance.now() - began) / 1000
          for (const [i, [feed, perSecond]] of rates.entries()) {
            for (const due = Math.floor(seconds * perSecond); asked[i]! < due; asked[i]!++) {
              feed.send(`frame ${feed.sent.length + 1} `.padEnd(size, "."))
            }
          }
        }, 5)
      }),
      (timer) => Effect.sync(() => clearInterval(timer))
    ),
    (timer) => ({ stop: Effect.sync(() => clearInterval(timer)) })
  )

/** How a call was refused, and how long that took. */
export const refusal = (manager: TestManager, call: Parameters<TestManager["refused"]>[0]) =>
  Effect.promise(async () => {
    const began = Date.now()
    const error = (await manager.refused(call)) as { readonly _tag: string; readonly outcome?: string }
    return { tag: error._tag, outcome: error.outcome, millis: Date.now() - began }
  })

/** A condition, with a deadline. */
export const eventually = (what: string, condition: () => boolean | Promise<boolean>, timeoutMs = CATCH_UP_MS) =>
  Effect.promise(() => until(condition, what, timeoutMs))

/** All that the peers sent on their present sockets has arrived, and was published or dropped and told. */
export const settled = (feeds: ReadonlyArray<Feed>) =>
  Effect.forEach(
    feeds,
    (feed) =>
      eventually(`all of ${feed.sentNow} frames of ${feed.topic} are accounted for`, async () => {
        const { framesDropped, framesPublished, framesReceived } = await feed.view()
        return framesReceived === feed.sentNow && framesPublished + framesDropped === framesReceived
      }),
    { discard: true }
  )

/** One frame more of each when nothing waits: what was lost before it, however late, is a gap for a consumer too. */
export const sendLast = (feeds: ReadonlyArray<Feed>): Effect.Effect<void> =>
  Effect.map(settled(feeds), () => {
    for (const feed of feeds) feed.send("the last one")
  })

export interface Judged {
  /** frames a consumer took, of all feeds */
  readonly taken: number
  /** frames that a consumer finds missing between two that it took */
  readonly missing: number
}

/** As `judgeEvents`, of what stands in Redis. */
export const judge = (
  feeds: ReadonlyArray<Feed>,
  redisPort: number,
  topics?: ReadonlyArray<string>
): Effect.Effect<Judged> =>
  judgeEvents(feeds, { lifecycle: LIFECYCLE, read: (topic) => streamEvents(redisPort, topic), topics })

/**
 * Waits until all is settled and told, then reads the topics and the lifecycle topic as they stand in the broker: no
 * problems in the accounting, and no frame missing for a consumer that no report has between its bounds.
 */
export const judgeEvents = (
  feeds: ReadonlyArray<Feed>,
  broker: {
    readonly lifecycle: string
    /** the events of a topic, in its order */
    readonly read: (topic: string) => Promise<ReadonlyArray<object>>
    /** those of the feeds unless told */
    readonly topics?: ReadonlyArray<string> | undefined
  }
): Effect.Effect<Judged> =>
  Effect.gen(function* () {
    const { lifecycle, read, topics = [...new Set(feeds.map(({ topic }) => topic))] } = broker
    yield* settled(feeds)
    for (const feed of feeds) {
      yield* eventually(`every lost frame of ${feed.topic} is told`, async () => {
        const { framesDropped } = await feed.view()
        return feed.reported() >= framesDropped
      })
    }
    const ids = new Set(feeds.map(({ id }) => id))
    const gaps = feeds.reduce((sum, feed) => sum + feed.events("gap").length, 0)
    yield* eventually(`${gaps} gaps are published`, async () => {
      const reported = (await read(lifecycle)).map(readEvent).filter((event) => event?.kind === "gap")
      return reported.filter(({ connectionId }) => ids.has(connectionId)).length >= gaps
    })

    const accounting = new Accounting()
    for (const feed of feeds) for (const data of feed.sent) accounting.sent(feed.id, data)
    const inOrder = acceptInOrder()
    const holes: Array<Gap> = []
    const reports: Array<GapReport> = []
    let taken = 0
    for (const topic of [...topics, lifecycle]) {
      for (const event of yield* Effect.promise(() => read(topic))) {
        accounting.received(event)
        const accepted = inOrder.accept(event)
        taken += accepted.frames.length
        if (accepted.report !== undefined) reports.push(accepted.report)
        holes.push(...accepted.gaps)
      }
    }
    expect(accounting.problems()).toEqual([])
    expect(holes.flatMap((hole) => untold(hole, reports))).toEqual([])
    const missing = holes.reduce((sum, hole) => sum + (hole.missing === "unknown" ? 0 : hole.missing), 0)
    return { taken, missing }
  })

/** The missing frames of a hole that lie within the bounds of no report. */
const untold = ({ after, before, connectionId }: Gap, reports: ReadonlyArray<GapReport>): ReadonlyArray<string> => {
  const own = reports.filter((report) => report.connectionId === connectionId)
  const missing =
    after.epoch === before.epoch
      ? Array.from({ length: before.sequence - after.sequence - 1 }, (_, i) => [after.epoch, after.sequence + 1 + i])
      : [[after.epoch, after.sequence + 1]]
  const isAfter = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
    a[0]! > b[0]! || (a[0] === b[0] && a[1]! > b[1]!)
  return missing
    .filter((at) => !own.some(({ first, last }) => isAfter(at, positionOf(last)) && isAfter(positionOf(first), at)))
    .map(([epoch, sequence]) => `${connectionId} lacks ${epoch}:${sequence}`)
}
const positionOf = ({ epoch, sequence }: Position): ReadonlyArray<number> => [epoch, sequence]

/** What each of them sent. */
export const sentBy = (feeds: ReadonlyArray<Feed>): number => feeds.reduce((sum, { sent }) => sum + sent.length, 0)

/** None has lost its socket. */
export const expectSocketsKept = (feeds: ReadonlyArray<Feed>): void =>
  expect(feeds.map(({ sockets }) => sockets.map(({ open }) => open))).toEqual(feeds.map(() => [true]))
