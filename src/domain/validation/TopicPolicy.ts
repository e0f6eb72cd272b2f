/**
 * Which topics callers may publish to. The manager's own topics are closed to them: it alone publishes lifecycle events. Where one
 * Redis holds topics and records, a topic named like a record's key would overwrite that record.
 */

/** Begins the keys of all records; behind `||` where Dapr puts a prefix before them. */
const OWN_KEYS = "websocketmanager/"
const PREFIXED = "||"
const OWN_EVENTS = "websocketmanager.lifecycle"

export interface TopicPolicy {
  /** patterns; `*` in one stands for any characters */
  readonly topics: ReadonlyArray<string>
  /** where lifecycle events go; "": nowhere */
  readonly lifecycleTopic: string
}

/** Why callers may not publish to this topic; undefined: they may. */
export const refuseTopic = (topic: string, { lifecycleTopic, topics }: TopicPolicy): string | undefined => {
  if (topic === lifecycleTopic || topic === OWN_EVENTS) return `topic ${topic} is the manager's own: choose another`
  if (topic.startsWith(OWN_KEYS) || topic.includes(PREFIXED)) {
    return `topic ${topic} looks like a key of the manager's own records ('${OWN_KEYS}…', '…${PREFIXED}…'): choose another`
  }
  if (topics.some((pattern) => matches(pattern, topic))) return undefined
  return topics.length === 0
    ? "no topic is allowed here: the operator names those that are in WSM_TOPICS"
    : `topic ${topic} is none of those that WSM_TOPICS allows`
}

/** From left to right, each piece between stars at the first place where it stands: linear, whatever the pattern. */
const matches = (pattern: string, topic: string): boolean => {
  const pieces = pattern.split("*")
  const first = pieces[0]!
  if (pieces.length === 1) return topic === pattern
  const last = pieces.at(-1)!
  if (topic.length < first.length + last.length || !topic.startsWith(first) || !topic.endsWith(last)) return false
  const end = topic.length - last.length
  let at = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = topic.indexOf(piece, at)
    if (found === -1 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}
