/**
 * What is asked of a broker: take a batch of events for a topic, and say of each whether it was taken.
 *
 * P01 publish(topic, batch): an outcome per entry; what is not among the failures was published.
 * P02 order of one key is kept from one batch to the next and through retries; inside a batch only where the adapter
 *     says `orderedWithinBatch`. Where it does not, the Publisher puts at most one entry of a connection into a batch.
 * P03 a failed entry is reported, never swallowed.
 * P04 text and binary arrive byte for byte.
 * P05 an entry over `maxEventBytes` is refused by name, before sending; its neighbours are published.
 * P06 publish ends by its deadline.
 * P07 health is known without publishing.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { TopicEvent } from "../domain/CloudEvent.js"
import type { NotAvailable, PubSubUnavailable } from "../domain/Errors.js"

export type { TopicEvent }

/** An entry of a batch that was not taken. */
export interface PublishFailure {
  /** position in the batch */
  readonly index: number
  /** true: worth repeating in order; false: this entry will never be taken (too large, refused) */
  readonly transient: boolean
  /** short, without secrets */
  readonly reason: string
}

/** A reader of one topic, from when it began. */
export interface Subscription {
  /**
   * Takes all that has come since the last take, waiting for at least one. `missed` counts the events this slow reader
   * did not get before the first of them.
   */
  readonly take: Effect.Effect<{ readonly events: ReadonlyArray<TopicEvent>; readonly missed: number }>
}

/** What became of a batch: the entries that failed, or a failure of the whole. */
export type PublishExit = Exit.Exit<ReadonlyArray<PublishFailure>, PubSubUnavailable>

/** Publishes a batch. Answers with the entries that failed; fails with PubSubUnavailable where the broker gave no answer. */
export interface Publish {
  (topic: string, batch: ReadonlyArray<TopicEvent>): Effect.Effect<ReadonlyArray<PublishFailure>, PubSubUnavailable>
  /**
   * The same at once, where nothing has to be waited for; undefined: ask for the effect. It stands on the function, so that
   * a wrapper of `publish` wraps all there is.
   */
  readonly now?: (topic: string, batch: ReadonlyArray<TopicEvent>) => ReadonlyArray<PublishFailure> | undefined
  /**
   * The same told to a callback, where a fiber for each batch would cost a good part of what the request costs. `done` is
   * called once, at once or later. The returned function gives the batch up: `done` is told of an interruption as soon as
   * nothing more is sent.
   */
  readonly start?: (topic: string, batch: ReadonlyArray<TopicEvent>, done: (exit: PublishExit) => void) => () => void
}

/** The bus that frames and events go to. */
export class PubSub extends Context.Tag("websocketmanager/ports/PubSub")<
  PubSub,
  {
    /** Whether the entries of one batch reach the topic in the order of the batch. */
    readonly orderedWithinBatch: boolean
    /** The largest event, as encoded; Infinity where events never leave the process. */
    readonly maxEventBytes: number
    /** P01 Publish a batch: the entries that failed. Fails as a whole when nothing is known of any entry. */
    readonly publish: Publish
    /** Read a topic from now on. A slow reader misses events (counted); it never holds up others. */
    readonly subscribe: (topic: string) => Effect.Effect<Subscription, NotAvailable, Scope.Scope>
    /** P07 Succeeds when the broker answers. */
    readonly ping: Effect.Effect<void, PubSubUnavailable>
  }
>() {}
