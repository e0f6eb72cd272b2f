/** An exact piece of the product's own source, and what stands there instead. */
export interface Edit {
  /** below src */
  readonly file: string
  readonly text: string
  readonly by: string
}

export interface Mutation {
  readonly name: string
  readonly edits: ReadonlyArray<Edit>
  /** the beginning of a scenario's name */
  readonly found: string
  /** the beginning of what must be broken; any promise, where it is not said */
  readonly kind?: string
}

export const edit = (file: string, text: string, by: string): Edit => ({ file, text, by })
