/** Who this instance is, for as long as the process lives. Its incarnations are minted by the Heartbeat. */
import * as Context from "effect/Context"

export class InstanceId extends Context.Tag("websocketmanager/membership/InstanceId")<
  InstanceId,
  {
    /** 1-128 of A-Za-z0-9.-_, not beginning with _ */
    readonly id: string
    /** where peers forward to; known once the listener is bound */
    readonly address: string
  }
>() {}
