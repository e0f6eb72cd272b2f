/** Secrets that are looked for afterwards: in whatever way a text may hold them. */
import { randomBytes } from "node:crypto"

/** A value that stands nowhere else, with the characters that encodings change where `odd`. */
export const canary = (name: string, odd = true): string =>
  `c4n${randomBytes(9).toString("hex")}${odd ? "/+=:" : "-"}${name}`

/** Where a haystack holds one of them: [name, form], none where it holds none. */
export const found = (
  haystack: string | Buffer,
  canaries: Readonly<Record<string, string>>
): ReadonlyArray<readonly [name: string, form: string]> => {
  const bytes = Buffer.from(haystack)
  return Object.entries(canaries).flatMap(([name, value]) =>
    Object.entries(formsOf(value))
      .filter(([, form]) => bytes.includes(form))
      .map(([form]) => [name, form] as const)
  )
}

const formsOf = (value: string): Readonly<Record<string, string>> => {
  const bytes = Buffer.from(value)
  const forms: Record<string, string> = {
    plain: value,
    // a text that was cut short still holds enough of it to be one
    beginning: value.slice(0, 12),
    percent: encodeURIComponent(value),
    json: JSON.stringify(value).slice(1, -1),
    hex: bytes.toString("hex"),
    HEX: bytes.toString("hex").toUpperCase()
  }
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
    // without the characters that also hold bits of what is around it
    const own = whole.slice(before === 0 ? 0 : before + 1, 4 * Math.floor((before + bytes.length) / 3))
    forms[`base64 ${before}`] = own
    forms[`base64url ${before}`] = own.replaceAll("+", "-").replaceAll("/", "_")
  }
  return forms
}
