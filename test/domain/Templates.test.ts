import * as FastCheck from "effect/FastCheck"
import { describe, expect, it } from "vitest"
import { CALLER } from "../../src/domain/Limits.js"
import { fillTemplate, parseHeaderValue, parseTemplate, placeholders, secretNames } from "../../src/domain/Templates.js"

const show = (text: string) => fillTemplate(parseTemplate(text), (p) => `<${p.kind} ${p.name}>`)

describe("Templates", () => {
  it.each([
    ["", ""],
    ["plain", "plain"],
    ["${secret:TOKEN}", "<secret TOKEN>"],
    ["a${secret:A}b${capture:c}${connection:id}", "a<secret A>b<capture c><connection id>"],
    ["${connection:epoch}/${instance:id}", "<connection epoch>/<instance id>"],
    ["${secret:store/key}", "<secret store/key>"],
    ["${secret:../x}", "<secret ../x>"],
    ["${secret:}", "<secret >"],
    [
      "${connection:name} ${instance:epoch} ${other:x} ${} $ { ${secret",
      "${connection:name} ${instance:epoch} ${other:x} ${} $ { ${secret"
    ],
    ["${${secret:A}}", "${<secret A>}"]
  ])("%j is read as %j", (text, shown) => {
    expect(show(text)).toBe(shown)
  })

  it("between ${ and } may stand what the longest name of a secret needs, and what is longer is no placeholder", () => {
    const name = "n".repeat(CALLER.PLACEHOLDER_CHARS - "secret:".length)
    expect(parseTemplate(`\${secret:${name}}`)).toEqual([{ kind: "secret", name }])
    const longer = `\${secret:${name}x}`
    expect(parseTemplate(`${longer}\${instance:id}`)).toEqual([
      { kind: "literal", literal: longer },
      { kind: "instance", name: "id" }
    ])
  })

  it("any text is read as the grammar says, and loses nothing", () => {
    const GRAMMAR = /\$\{(?:(secret|capture):([^}]*)|(connection):(id|epoch)|(instance):(id))\}/g
    const piece = FastCheck.constantFrom("${", "}", "$", "{", "secret:", "capture:", "connection:id", "instance:", "id", "a", "\n", "${secret:A}") // prettier-ignore
    FastCheck.assert(
      FastCheck.property(FastCheck.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join("")
        const found = placeholders(text).map((p) => `\${${p.kind}:${p.name}}`)
        expect(found).toEqual(text.match(GRAMMAR) ?? [])
        expect(fillTemplate(parseTemplate(text), (p) => `\${${p.kind}:${p.name}}`)).toBe(text)
      }),
      { numRuns: 3000 }
    )
  })

  it("a header's whole value may be secret:NAME, another text may not", () => {
    expect(parseHeaderValue("secret:TOKEN")).toEqual([{ kind: "secret", name: "TOKEN" }])
    expect(parseHeaderValue("Bearer ${secret:T}")).toEqual([
      { kind: "literal", literal: "Bearer " },
      { kind: "secret", name: "T" }
    ])
    expect(parseTemplate("secret:TOKEN")).toEqual([{ kind: "literal", literal: "secret:TOKEN" }])
  })

  it("lists placeholders, and the names of secrets once", () => {
    expect(placeholders("x${capture:a}y")).toEqual([{ kind: "capture", name: "a" }])
    expect(secretNames([parseTemplate("${secret:A}${secret:B}"), parseHeaderValue("secret:A")])).toEqual(["A", "B"])
  })

  it("a value that looks like a placeholder is not filled again", () => {
    expect(fillTemplate(parseTemplate("${secret:A}"), () => "${secret:B}")).toBe("${secret:B}")
  })
})
