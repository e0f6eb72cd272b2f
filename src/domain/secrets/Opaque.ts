/**
 * Whether a part of a URL looks made by a machine: a token, a key, a listen key. Names of feeds are words, also long ones:
 * `btcusdt@depth20@100ms`, `BTC-PERPETUAL-20271231`, `bookTickerStream`.
 */

/** A part of a URL that is shorter is shown. */
const LONG = 20
/** In a long one, what is longer between two separators must read as words. */
const PIECE = 12

export const isOpaque = (part: string): boolean => {
  const text = decoded(part)
  return text.length >= LONG && opaquePieces(text).length > 0
}

/** No characters of base64, base64url, hex or UUIDs. */
const SEPARATORS = /[^A-Za-z0-9_+/=~-]/

/** `word`, `WORD`, `Word`, `depth20`; a number, a date; `100ms`. */
const WORD = /^(?:(?:[A-Z]?[a-z]{1,16}|[A-Z]{1,16})\d{0,4}|\d{1,10}|\d{1,5}[a-z]{1,3})$/

/** The parts of a text that look made by a machine. */
export const opaquePieces = (text: string): ReadonlyArray<string> =>
  text.split(SEPARATORS).filter((piece) => piece.length >= PIECE && !readsAsWords(piece))

const readsAsWords = (piece: string): boolean => {
  const words = piece.split(/[_+/=~-]|(?<=[a-z])(?=[A-Z])/).filter((word) => word !== "")
  const letters = words.reduce((sum, word) => sum + word.length, 0)
  return words.every((word) => WORD.test(word)) && (words.length < 4 || letters >= 3 * words.length)
}

const decoded = (text: string): string =>
  text.replace(/%[0-9a-f]{2}/gi, (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
