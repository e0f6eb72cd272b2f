/** What Dapr's Redis pub/sub component wrote to a stream, read without Dapr: an independent look at bytes and order. */
import { Resp } from "./Resp.mjs"

export interface StreamEntry {
  readonly id: string
  /** the bytes that were published: a cloud event, unless raw */
  readonly data: Buffer
  readonly fields: ReadonlyMap<string, Buffer>
}

const PAGE = 1000

/**
 * All entries of the topic, in the order of the stream; none for a topic that is not there.
 *
 * @param after only those behind the entry with this id
 */
export const streamEntries = async (
  port: number,
  topic: string,
  after?: string
): Promise<ReadonlyArray<StreamEntry>> => {
  const client = await Resp.connect(port)
  const entries: Array<StreamEntry> = []
  try {
    for (let from = after === undefined ? "-" : `(${after}`; ; from = `(${entries.at(-1)!.id}`) {
      const page = (await client.command("XRANGE", topic, from, "+", "COUNT", `${PAGE}`)) as ReadonlyArray<RawEntry>
      entries.push(...page.map(entryOf))
      if (page.length < PAGE) return entries
    }
  } finally {
    client.close()
  }
}

/** Each entry's cloud event. */
export const streamEvents = async (port: number, topic: string): Promise<ReadonlyArray<Record<string, unknown>>> =>
  (await streamEntries(port, topic)).map(({ data }) => JSON.parse(data.toString()) as Record<string, unknown>)

/** How many there are. */
export const streamLength = async (port: number, topic: string): Promise<number> =>
  (await Resp.once(port, "XLEN", topic)) as number

type RawEntry = readonly [Buffer, ReadonlyArray<Buffer>]

const entryOf = ([id, words]: RawEntry): StreamEntry => {
  const fields = new Map<string, Buffer>()
  for (let index = 0; index < words.length; index += 2) fields.set(words[index]!.toString(), words[index + 1]!)
  return { id: id.toString(), data: fields.get("data") ?? Buffer.alloc(0), fields }
}
