/**
 * What a peer says, without what it must not repeat to others. A close reason or an error text may hold a secret that the
 * peer was just sent, as it was or as it travelled.
 *
 * The cost is linear in the text and in the values. Only so much of the values is looked at; beside more of them the text
 * is not shown at all. A piece of a value counts too: a reason on the wire is cut to 123 bytes.
 */

/** A text of a peer is not shown beyond it. */
const MAX_CHARS = 1024
/** So much of a value in a row is a piece of it; a shorter value counts where it stands as a whole. */
const PIECE = 8
/** A shorter value is no secret: it stands in every text. */
const SHORTEST = 4
/** Values that are looked for, and their characters together: this is done at each dial that fails. */
const MOST_VALUES = 512
const MOST_VALUE_CHARS = 48 * 1024

export const conceal = (text: string, values: Iterable<string>): string => {
  if (text === "") return text
  const wanted = [...new Set(values)].filter(({ length }) => length >= SHORTEST)
  const chars = wanted.reduce((sum, { length }) => sum + length, 0)
  if (wanted.length > MOST_VALUES || chars > MOST_VALUE_CHARS) return "***"
  const shown = text.slice(0, MAX_CHARS)
  const pieces = new Map<string, Array<number>>()
  for (let i = 0; i + PIECE <= shown.length; i++) {
    const piece = shown.slice(i, i + PIECE)
    const at = pieces.get(piece)
    if (at === undefined) pieces.set(piece, [i])
    else at.push(i)
  }
  const hidden = new Uint8Array(shown.length)
  const begins = beginnings(pieces.keys())
  for (const value of wanted) {
    for (const form of formsOf(value)) {
      if (form.length < PIECE) {
        for (let i = shown.indexOf(form); i !== -1; i = shown.indexOf(form, i + 1)) hidden.fill(1, i, i + form.length)
      }
      for (let i = 0; i + PIECE <= form.length && pieces.size > 0; i++) {
        if (begins[slotOf(form, i)] === 0) continue
        const piece = form.slice(i, i + PIECE)
        for (const at of pieces.get(piece) ?? []) hidden.fill(1, at, at + PIECE)
        pieces.delete(piece)
      }
    }
  }
  return shown.replaceAll(/[^]/g, (character, i: number) =>
    hidden[i] === 0 ? character : i > 0 && hidden[i - 1] === 1 ? "" : "***"
  )
}

const SLOTS = 1 << 16

/** Where a piece is marked that begins at `at`: by its first three characters. */
const slotOf = (text: string, at: number): number =>
  (text.charCodeAt(at) ^ (text.charCodeAt(at + 1) << 5) ^ (text.charCodeAt(at + 2) << 10)) & (SLOTS - 1)

/** Where nothing is marked here, no piece begins: one look at this passes most of a value. */
const beginnings = (pieces: Iterable<string>): Uint8Array => {
  const marks = new Uint8Array(SLOTS)
  for (const piece of pieces) marks[slotOf(piece, 0)] = 1
  return marks
}

/** A value as it was, and as URLs, Basic credentials, logs and JSON write it. */
const formsOf = (value: string): ReadonlySet<string> => {
  const bytes = Buffer.from(value)
  const hex = bytes.toString("hex")
  const forms = new Set([
    value,
    encodeURIComponent(bytes.toString()),
    JSON.stringify(value).slice(1, -1),
    hex,
    hex.toUpperCase()
  ])
  // Inside a longer text base64 has three forms, by where the value begins in it; the characters at both ends hold others' bits.
  for (const before of [0, 1, 2]) {
    const base64 = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replace(/=+$/, "")
    const own = base64.slice(before === 0 ? 0 : before + 1, (before + bytes.length) % 3 === 0 ? undefined : -1)
    // Where nothing is around it, the last character is its own as well.
    for (const form of before === 0 ? [own, base64] : [own]) {
      if (form.length >= SHORTEST) forms.add(form).add(form.replaceAll("+", "-").replaceAll("/", "_"))
    }
  }
  return forms
}
