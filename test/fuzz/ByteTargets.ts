/** What reads bytes and stored values: MessagePack of callers and peers, published events, records of the store. */
import * as Either from "effect/Either"
import { Packr } from "msgpackr"
import { acceptInOrder } from "../../src/domain/AcceptInOrder.js"
import { encode } from "../../src/domain/CloudEvent.js"
import { Frame } from "../../src/domain/Frame.js"
import { readEvent } from "../../src/domain/ReadEvent.js"
import { decodeStored, encodeRecord, isTombstone } from "../../src/domain/stored/ConnectionRecord.js"
import { decodeHeartbeat, decodeIndex, decodePage } from "../../src/domain/stored/InstanceRecord.js"
import { PeerRpcs } from "../../src/rpc/PeerRpcs.js"
import { judgeOf } from "../../src/rpc/RequestDecoding.js"
import * as Serialization from "../../src/rpc/Serialization.js"
import type { Random } from "./Random.js"
import { must, type Target } from "./Target.js"
import { jsonValue } from "./TextTargets.js"

const METHODS = ["Connect", "List", "Get", "Send", "SendRaw", "Watch", "PeerHello", "PeerAsk", "Nothing"]

/** Requests as a client writes them: as records or as plain maps, one message or several. */
export const rpcRequest = (random: Random): Buffer => {
  const packr = new Packr({ useRecords: random.chance(0.5), mapsAsObjects: true })
  const message = () => ({
    _tag: random.pick(["Request", "Request", "Ack", "Interrupt", "Ping", "Eof"]),
    id: String(random.below(1000)),
    tag: random.pick(METHODS),
    payload: random.chance(0.5)
      ? jsonValue(random)
      : {
          id: "0",
          message: random.bytes(random.below(64)),
          url: "ws://127.0.0.1:1/",
          filters: [{ key: "a", value: "b" }]
        },
    headers: [["a", "b"]],
    requestId: "1"
  })
  return Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => packr.pack(message()) as Buffer))
}

const judge = judgeOf(PeerRpcs)

const msgpack: Target = {
  name: "msgpack",
  seed: rpcRequest,
  run: (input) => {
    for (const kind of [Serialization.bodies, Serialization.frames, Serialization.answers]) {
      let messages: ReadonlyArray<unknown>
      try {
        messages = kind.unsafeMake().decode(input)
      } catch (error) {
        // whatever the decoder itself says of what passed the scan is a refusal too, unless it ran out of room
        if (
          error instanceof Error &&
          !/allocation failed|Invalid (?:array|string|typed array) length/.test(error.message)
        )
          continue
        throw error
      }
      for (const message of messages) judge(message)
    }
  }
}

const ORIGIN = { connectionId: "c", connectionUrl: "ws://h/", instanceId: "i", epoch: 3, textContentType: "text/plain" }

const events: Target = {
  name: "events",
  seed: (random) => {
    const data = random.chance(0.5) ? Buffer.from(JSON.stringify(jsonValue(random))) : random.bytes(random.below(64))
    return Buffer.from(encode(new Frame(ORIGIN, 1 + random.below(9), 1_700_000_000_000, random.chance(0.5), data)))
  },
  run: (input) => {
    const text = input.toString("utf8")
    let json = true
    try {
      JSON.parse(text)
    } catch {
      json = false
    }
    try {
      readEvent(input)
      const inOrder = acceptInOrder()
      for (let i = 0; i < 2; i++)
        must(inOrder.accept(input).frames.length <= (i === 0 ? 1e6 : 0), "a frame was taken twice")
    } catch (error) {
      // documented: text that is no JSON
      if (json) throw error
    }
  }
}

const RECORD = {
  v: 1,
  id: "01a22f83-596a-7b9b-96ee-ba104de46b78",
  owner: "one",
  incarnation: "i",
  epoch: 7,
  nonce: "n",
  status: "CONNECTION_STATUS_CONNECTED",
  spec: {
    url: "ws://h/?a=${secret:b}",
    handshake: [{ sendText: "x" }, { expect: { jsonPath: "$.a", capture: { c: "$.b" } } }]
  },
  specHash: "h",
  tags: { a: "b" },
  topic: "t",
  createdAt: 1,
  last: { epoch: 6, sequence: 1, at: 1 },
  lastError: "",
  lastCloseCode: 0
}
const HEARTBEAT = { v: 1, id: "one", incarnation: "i", status: "alive", address: "http://h:1", startedAt: 1, bootId: "b", pidNamespace: "p", pid: 1, processStart: "s", beat: 1, intervalMs: 2000, ttlMs: 6000, connections: 1, nonce: "n" } // prettier-ignore
const PAGE = { v: 1, incarnation: "i", sealed: false, ids: [RECORD.id] }
const INDEX = { v: 1, instances: { one: "i" } }

export const storedRow = (random: Random): Buffer =>
  Buffer.from(JSON.stringify(random.pick([RECORD, HEARTBEAT, PAGE, INDEX])))

const records: Target = {
  name: "records",
  seed: storedRow,
  run: (input) => {
    const text = input.toString("utf8")
    const stored = decodeStored(RECORD.id, text)
    if (Either.isRight(stored) && !isTombstone(stored.right)) {
      const again = decodeStored(RECORD.id, encodeRecord(stored.right))
      must(Either.isRight(again), "what was read and written is not read again")
    }
    const others = [decodeHeartbeat("one", text), decodePage("one", 0, text), decodeIndex(text)]
    for (const decoded of others as ReadonlyArray<Either.Either<unknown, Error>>) {
      if (Either.isLeft(decoded)) must(decoded.left.message.length < 1000, "a refusal as long as its input")
    }
  }
}

export const byteTargets: ReadonlyArray<Target> = [msgpack, events, records]
