export type Reply = Buffer | string | number | null | Error | ReadonlyArray<Reply>

export class Resp {
  private constructor()
  /** What the server of a port asks for. */
  static readonly passwords: Map<number, string>
  static connect(port: number): Promise<Resp>
  /** Opens, asks once, closes. */
  static once(port: number, ...words: ReadonlyArray<string | Uint8Array>): Promise<Reply>
  /** The reply; rejects with an error reply. */
  command(...words: ReadonlyArray<string | Uint8Array>): Promise<Reply>
  close(): void
}
