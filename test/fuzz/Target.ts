import type { Random } from "./Random.js"

/** One thing that takes what others send. */
export interface Target {
  readonly name: string
  /** A well-formed input, from which mutation begins. */
  readonly seed: (random: Random) => Buffer
  /** Throws, or rejects, where something that must hold does not. Bad input that is refused as it should be is no such thing. */
  readonly run: (input: Buffer) => void | Promise<void>
  readonly close?: () => Promise<void>
}

export const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}
