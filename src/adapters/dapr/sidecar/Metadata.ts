/** What `/v1.0/metadata` and the sidecar's error documents say. */

/** A component as `/v1.0/metadata` tells it. */
export interface Component {
  /** as the operator named it */
  readonly name: string
  /** such as `state.redis` */
  readonly type: string
  /** such as `v1` */
  readonly version: string
  /** as the component states them, such as `ETAG` */
  readonly capabilities: ReadonlyArray<string>
}

/** A component that must be loaded. */
export interface Need {
  /** `WSM_STATE_STORE`, or whichever names it */
  readonly setting: string
  readonly name: string
  /** what its type begins with */
  readonly kind: "state" | "pubsub"
}

const KINDS = { state: "state store", pubsub: "pub/sub component" } as const

/** undefined: no answer of a sidecar. The document of a sidecar without a loaded component lacks the key. */
export const componentsOf = (body: string): ReadonlyArray<Component> | undefined => {
  const document = parsed(body)
  if (document === undefined) return undefined
  const { components = [] } = document as { readonly components?: ReadonlyArray<Partial<Component>> }
  if (!Array.isArray(components)) return undefined
  return components.map(({ capabilities, name, type, version }: Partial<Component>) => ({
    name: String(name),
    type: String(type),
    version: String(version),
    capabilities: Array.isArray(capabilities) ? capabilities.map(String) : []
  }))
}

/** Why the start cannot go on, as one line that names what there is; undefined when the component is there. */
export const missing = ({ kind, name, setting }: Need, components: ReadonlyArray<Component>): string | undefined => {
  const such = components.filter(({ type }) => type.startsWith(`${kind}.`))
  if (such.some((component) => component.name === name)) return undefined
  const loaded = such.map((component) => `${component.name} (${component.type})`).join(", ")
  const has = loaded === "" ? "it has none at all" : `it has ${loaded}`
  return `the sidecar has loaded no ${KINDS[kind]} ${name}, ${has}; set ${setting} to one that is there, or give the sidecar this one`
}

/** Follows the words of a sidecar that refuses this instance's token. */
export const TOKEN_HINT = " (DAPR_API_TOKEN is not the token that the sidecar asks for)"

/** The text of an error document, on one line and not too long. */
export const messageOf = (body: string): string => {
  const { message } = (parsed(body) ?? {}) as { readonly message?: unknown }
  const text = (typeof message === "string" ? message : body).replace(/[\s\p{Cc}]+/gu, " ").trim()
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`
}

const parsed = (body: string): object | undefined => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
