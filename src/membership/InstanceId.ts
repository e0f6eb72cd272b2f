/** The identity of this instance, for as long as the process lives. Its incarnations are minted where it joins. */
import { randomBytes } from "node:crypto"
import { networkInterfaces } from "node:os"
import * as Context from "effect/Context"
import { bracketed } from "../common/Hosts.js"
import type { SettingsShape } from "../config/SettingsShape.js"

/** What an instance is called, and where it is reached. */
export interface Identity {
  /** 1-128 of A-Za-z0-9.-_, not beginning with _ */
  readonly id: string
  /** where peers forward to; known once the listener is bound */
  readonly address: string
}

/** The identity of this instance. */
export class InstanceId extends Context.Tag("websocketmanager/membership/InstanceId")<InstanceId, Identity>() {}

/** What the host says of this process, for what the settings leave open. */
export interface Surroundings {
  /** of this host; the id is made of it where no setting says one */
  readonly hostName: string
  /** the HTTP port really bound */
  readonly boundPort: number
  /** of the pod, "" outside one */
  readonly podIp: string
}

/** The identity by the settings, for an instance whose listener is bound. */
export const make = (
  settings: Pick<SettingsShape, "backing" | "instanceId" | "advertiseAddress" | "host" | "httpPort" | "tlsCert">,
  surroundings: Surroundings
): Identity => ({
  id: settings.instanceId === "" ? chooseId(settings, surroundings.hostName) : settings.instanceId,
  address:
    settings.advertiseAddress === ""
      ? `${settings.tlsCert === "" ? "http" : "https"}://${bracketed(reachable(settings.host, surroundings.podIp))}:${surroundings.boundPort}`
      : settings.advertiseAddress
})

const chooseId = (settings: Pick<SettingsShape, "backing" | "httpPort">, hostName: string): string => {
  const host = hostName.replace(/[^A-Za-z0-9.-]/g, "-").slice(0, 100) || "instance"
  if (settings.backing === "dapr") return host
  return `${host}-${settings.httpPort === 0 ? randomBytes(4).toString("hex") : settings.httpPort}`
}

const reachable = (host: string, podIp: string): string => {
  if (host !== "0.0.0.0" && host !== "::" && host !== "") return host
  if (podIp !== "") return podIp
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  const outside = addresses.filter((a) => !a.internal)
  return (outside.find((a) => a.family === "IPv4") ?? outside[0])?.address ?? "127.0.0.1"
}
