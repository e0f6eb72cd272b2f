/** The arithmetic of ownership; pure. */
import type { ConnectionRecord } from "./Record.js"

/**
 * The epoch of a new owner: above the old one (0: none known), and at least the Unix seconds, so that it grows over
 * expired tombstones and over a store that was set back.
 */
export const nextEpoch = (old: number, nowMillis: number): number => Math.max(old + 1, Math.floor(nowMillis / 1000))

/** Whether the record names this instance, this incarnation and this epoch. */
export const names = (
  record: ConnectionRecord,
  owner: { readonly id: string; readonly incarnation: string; readonly epoch: number }
): boolean => record.owner === owner.id && record.incarnation === owner.incarnation && record.epoch === owner.epoch
