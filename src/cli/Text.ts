/** Text that stays text: whatever a peer sends, it cannot drive the terminal it is shown on. */

/** C0, DEL, C1, line and paragraph separators, and the marks that turn the direction of writing. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g
const UNSAFE_IN_JSON = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" }

const escaped = (char: string): string => {
  const code = char.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`
}

/** One line, every character that could drive a terminal written out. */
export const plain = (text: string): string => text.replace(UNSAFE, (char) => SHORT[char] ?? escaped(char))

/** The same value on one line of JSON that is safe on a terminal too. */
export const jsonLine = (value: unknown): string => safeJson(JSON.stringify(value))

/** JSON that is there already, made safe for a terminal without changing its meaning. */
export const safeJson = (json: string): string =>
  json.replace(UNSAFE_IN_JSON, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** At most `width` characters, the cut shown; never half of a surrogate pair. */
export const cutTo = (text: string, width: number): string => {
  if (text.length <= width) return text
  const at = Math.max(0, width - 1)
  const whole = /[\ud800-\udbff]/.test(text.charAt(at - 1)) ? at - 1 : at
  return `${text.slice(0, whole)}…`
}

const decoder = new TextDecoder("utf-8")

/** The first `limit` bytes in hex, two digits a byte. */
export const hex = (data: Uint8Array, limit: number): string => {
  const shown = Buffer.from(data.buffer, data.byteOffset, Math.min(data.byteLength, limit)).toString("hex")
  return shown.replace(/(..)(?=.)/g, "$1 ") + (data.byteLength > limit ? " …" : "")
}

export const base64 = (data: Uint8Array): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")

export const utf8 = (data: Uint8Array): string => decoder.decode(data)

/** `25 B`, `4.0 KiB`, `1.5 MiB`. */
export const size = (bytes: number): string =>
  bytes < 1024
    ? `${bytes} B`
    : bytes < 1024 * 1024
      ? `${(bytes / 1024).toFixed(1)} KiB`
      : `${(bytes / 1024 / 1024).toFixed(1)} MiB`

const two = (n: number): string => String(n).padStart(2, "0")

/** The local time of day with milliseconds. */
export const clock = (time: Date): string =>
  `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`

/** Local date and time, for tables; empty for no time. */
export const stamp = (time: Date | undefined): string =>
  time === undefined
    ? ""
    : `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(time).slice(0, 8)}`

/** Columns as wide as they need, two spaces apart, no space at the end of a line. */
export const table = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const lines = [header, ...rows.map((row) => row.map(plain))]
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)))
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** `name  value`, one a line; what is empty is left out. */
export const block = (fields: ReadonlyArray<readonly [name: string, value: string]>): string => {
  const shown = fields.filter(([, value]) => value !== "")
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${plain(value)}`).join("\n")
}

/** So much of `total`, drawn in `width` characters: `######------`. */
export const bar = (done: number, total: number, width: number): string => {
  const filled = total <= 0 ? width : Math.min(width, Math.max(0, Math.floor((done / total) * width)))
  return "#".repeat(filled) + "-".repeat(width - filled)
}
