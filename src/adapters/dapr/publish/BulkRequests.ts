/** A batch as requests to the sidecar: cut by its body limit, from events that are encoded already. */

/** What the sidecar's publish APIs are told of each event. */
export const CLOUD_EVENTS = "application/cloudevents+json"

/** Events that go together, by their places in the batch; at least one. */
export interface Request {
  readonly indices: ReadonlyArray<number>
  readonly events: ReadonlyArray<string>
}

/**
 * The requests of a batch, in its order. One event alone may have as many bytes as the limit; of several, what stands around
 * them counts too.
 */
export const requestsOf = (
  indices: ReadonlyArray<number>,
  events: ReadonlyArray<string>,
  maxBytes: number
): ReadonlyArray<Request> => {
  if (events.length === 0) return []
  let most = BRACKETS
  // A character becomes at most three bytes, so a request is hardly ever measured.
  for (const event of events) most += event.length * 3 + ENTRY_BYTES
  return most <= maxBytes || events.length === 1 ? [{ indices, events }] : cut(indices, events, maxBytes)
}

const cut = (indices: ReadonlyArray<number>, events: ReadonlyArray<string>, maxBytes: number): Array<Request> => {
  const requests: Array<Request> = []
  let from = 0
  let bytes = BRACKETS
  for (let i = 0; i < events.length; i++) {
    const size = Buffer.byteLength(events[i]!) + ENTRY_BYTES
    if (i > from && bytes + size > maxBytes) {
      requests.push({ indices: indices.slice(from, i), events: events.slice(from, i) })
      from = i
      bytes = BRACKETS
    }
    bytes += size
  }
  requests.push({ indices: indices.slice(from), events: events.slice(from) })
  return requests
}

/** The body of a bulk request; an entry's id is its place in it. */
export const bulkBody = (events: ReadonlyArray<string>): string => {
  let body = "["
  for (let i = 0; i < events.length; i++) body += `${i === 0 ? "" : ","}{"entryId":"${i}"${TYPE},"event":${events[i]!}}`
  return `${body}]`
}

const TYPE = `,"contentType":"${CLOUD_EVENTS}"`
const BRACKETS = 2
/** What stands around an event, at most: its id has up to six digits. */
const ENTRY_BYTES = `,{"entryId":"999999"${TYPE},"event":}`.length
