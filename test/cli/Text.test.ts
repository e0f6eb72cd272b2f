import { describe, expect, it } from "vitest"
import * as Text from "../../src/cli/Text.js"

/** Every code point that can drive a terminal, or hide what stands on it. */
const DANGEROUS = [
  ...Array.from({ length: 0x20 }, (_, i) => i),
  ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i),
  0x061c,
  0x200e,
  0x200f,
  ...Array.from({ length: 7 }, (_, i) => 0x2028 + i),
  ...Array.from({ length: 4 }, (_, i) => 0x2066 + i),
  0xfeff
].map((code) => String.fromCharCode(code))

describe("text for a terminal", () => {
  it("no character that could drive the terminal is left in a line", () => {
    for (const char of DANGEROUS) {
      expect(Text.plain(`a${char}b`)).toMatch(/^a\\[\x21-\x7e]+b$/)
    }
    expect(Text.plain("\u001b[2J\u0007\r\n\t")).toBe("\\e[2J\\x07\\r\\n\\t")
    expect(Text.plain("zürich 日本 🚀")).toBe("zürich 日本 🚀")
  })

  it("JSON for programs holds none of them either, and still means the same", () => {
    const value = { text: DANGEROUS.join("") }
    const line = Text.jsonLine(value)
    for (const char of DANGEROUS) expect(line).not.toContain(char)
    expect(JSON.parse(line)).toEqual(value)
  })

  it("a cut is shown, and never halves a character", () => {
    expect(Text.cutTo("short", 10)).toBe("short")
    expect(Text.cutTo("0123456789", 5)).toBe("0123…")
    expect(Text.cutTo("012🚀456789", 5)).toBe("012…")
  })

  it("hex shows two digits a byte and says when there is more", () => {
    expect(Text.hex(new Uint8Array([0, 255, 16]), 3)).toBe("00 ff 10")
    expect(Text.hex(new Uint8Array([0, 255, 16]), 2)).toBe("00 ff …")
    expect(Text.hex(new Uint8Array(), 2)).toBe("")
  })

  it("a table is as wide as its widest cells and hides nothing behind control characters", () => {
    expect(
      Text.table(
        ["ID", "URL"],
        [
          ["1", "ws://a"],
          ["long-id", "ws://b\u001b[0m"]
        ]
      )
    ).toBe(["ID       URL", "1        ws://a", "long-id  ws://b\\e[0m"].join("\n"))
  })

  it("a block leaves out what is empty", () => {
    expect(
      Text.block([
        ["id", "1"],
        ["topic", ""],
        ["instance", "here"]
      ])
    ).toBe("id        1\ninstance  here")
  })
})

describe("a bar", () => {
  it("is as wide as told, never over-full, and full where there was nothing to do", () => {
    expect(Text.bar(0, 10, 10)).toBe("----------")
    expect(Text.bar(5, 10, 10)).toBe("#####-----")
    expect(Text.bar(99, 100, 10)).toBe("#########-")
    expect(Text.bar(12, 10, 10)).toBe("##########")
    expect(Text.bar(0, 0, 10)).toBe("##########")
  })
})
