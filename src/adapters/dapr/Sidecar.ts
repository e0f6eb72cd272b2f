/** The Dapr sidecar beside this process: where it is, and what it has loaded. */
import * as Context from "effect/Context"
import type * as Redacted from "effect/Redacted"
import type { Dispatcher } from "undici"

/** Where the sidecar listens, and the token it asks for. */
export interface Endpoint {
  readonly host: string
  readonly httpPort: number
  readonly grpcPort: number
  readonly apiToken: Redacted.Redacted<string> | undefined
}

/** A component as `/v1.0/metadata` tells it. */
export interface Component {
  readonly name: string
  /** such as `state.redis` */
  readonly type: string
  /** such as `v1` */
  readonly version: string
  readonly capabilities: ReadonlyArray<string>
}

export class Sidecar extends Context.Tag("websocketmanager/adapters/dapr/Sidecar")<
  Sidecar,
  {
    readonly endpoint: Endpoint
    /** HTTP/1.1 to the sidecar, its connections kept; closed with the layer. */
    readonly http: Dispatcher
    /** Headers that every HTTP request carries: the token, where there is one. */
    readonly headers: Readonly<Record<string, string>>
    /** What was loaded when the sidecar became ready. */
    readonly components: ReadonlyArray<Component>
  }
>() {}
