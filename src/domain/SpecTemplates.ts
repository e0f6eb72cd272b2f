/** The texts of a spec in which placeholders are filled in at each dial, read once, when the spec is resolved. */
import type { ResolvedSpec } from "./Spec.js"
import { parseHeaderValue, parseTemplate, type Template } from "./Templates.js"

export interface SpecTemplates {
  readonly url: Template
  /** one for each header, and one for each subprotocol, in order */
  readonly headers: ReadonlyArray<Template>
  readonly subprotocols: ReadonlyArray<Template>
  /** undefined: there is no application-level ping that is text */
  readonly ping: Template | undefined
}

export const specTemplates = ({
  headers,
  keepAlive: { ping },
  subprotocols,
  url
}: Pick<ResolvedSpec, "headers" | "keepAlive" | "subprotocols" | "url">): SpecTemplates => ({
  url: parseTemplate(url),
  headers: headers.map(([, value]) => parseHeaderValue(value)),
  subprotocols: subprotocols.map(parseTemplate),
  ping: ping === undefined || ping.binary ? undefined : parseTemplate(Buffer.from(ping.data).toString())
})
