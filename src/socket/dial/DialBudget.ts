/**
 * How many dials go out per second: to one host name and port, to one network, and in all.
 *
 * The first is what a peer is promised; the second holds whatever names and ports lead there; the third is what this fleet
 * takes upon itself. The settings are for the whole fleet; an instance uses its share of them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../../config/Settings.js"
import * as TokenBuckets from "../wire/TokenBuckets.js"
import { networkOf } from "./AddressForms.js"

export class DialBudget extends Context.Tag("websocketmanager/socket/DialBudget")<
  DialBudget,
  {
    /** Waits for this host's turn, before its name is resolved. Interruption gives the place in the queue back. */
    readonly acquire: (hostPort: string) => Effect.Effect<void>
    /** Waits for the turn of the address that it led to, and for one of all dials. */
    readonly acquireAddress: (hostPort: string, address: string) => Effect.Effect<void>
    /** For a further address of a dial: at once or not at all. Later dials wait for what is taken. */
    readonly mayTry: (address: string) => boolean
    /** Milliseconds a dial that asked now would wait, as far as is known; Infinity while the share is 0. */
    readonly waitMillis: (hostPort: string) => number
    /** Hosts and networks remembered now. */
    readonly hosts: () => number
    readonly networks: () => number
  }
>() {}

/** Dials per second. */
export interface Rates {
  readonly dialRatePerHost: number
  readonly dialRatePerAddress: number
  readonly dialRateTotal: number
}

/** The whole rate is this instance's, as long as it is alone. */
export const layer = (share: () => number = () => 1): Layer.Layer<DialBudget, never, Settings> =>
  Layer.effect(
    DialBudget,
    Effect.flatMap(Settings, (settings) => make(settings, share))
  )

/** A longer name cannot be dialled; the key of a bucket is cut, so that names cannot fill memory. */
const KEY_CHARS = 300
/** Hosts whose network is remembered. */
const LED_TO = 10_000

export const make = (rates: Rates, share: () => number = () => 1): Effect.Effect<DialBudget["Type"]> =>
  Effect.gen(function* () {
    const hosts = yield* TokenBuckets.make(() => rates.dialRatePerHost * share())
    const networks = yield* TokenBuckets.make(() => rates.dialRatePerAddress * share())
    const total = yield* TokenBuckets.make(() => rates.dialRateTotal * share())
    /** the network that a host led to last */
    const ledTo = new Map<string, string>()
    const remember = (host: string, network: string): void => {
      ledTo.delete(host)
      ledTo.set(host, network)
      if (ledTo.size > LED_TO) for (const oldest of ledTo.keys()) return void ledTo.delete(oldest)
    }
    const keyOf = (hostPort: string): string => hostPort.slice(-KEY_CHARS)

    return {
      acquire: (hostPort) => hosts.acquire(keyOf(hostPort)),
      acquireAddress: (hostPort, address) =>
        Effect.suspend(() => {
          const network = networkOf(address)
          remember(keyOf(hostPort), network)
          return Effect.zipRight(networks.acquire(network), total.acquire(ALL))
        }),
      mayTry: (address) => networks.takeInDebt(networkOf(address)) && total.takeInDebt(ALL),
      waitMillis: (hostPort) => {
        const key = keyOf(hostPort)
        const network = ledTo.get(key)
        const waits = [hosts.waitMillis(key), total.waitMillis(ALL)]
        if (network !== undefined) waits.push(networks.waitMillis(network))
        return Math.max(...waits)
      },
      hosts: hosts.size,
      networks: networks.size
    }
  })

/** The one key of all dials. */
const ALL = ""
