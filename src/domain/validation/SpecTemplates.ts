/** The texts of a spec in which placeholders are filled in at each dial, read once, when the spec is resolved. */
import type { ResolvedSpec, SpecTemplates } from "../Spec.js"
import { parseHeaderValue, parseTemplate } from "../Templates.js"

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
