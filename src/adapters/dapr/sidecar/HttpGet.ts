/** One small question over HTTP: the whole answer as text, by a deadline, cancelled when its caller no longer waits. */
import * as Effect from "effect/Effect"
import type { Dispatcher } from "undici"

export interface HttpAnswer {
  readonly status: number
  readonly body: string
}

export interface Question {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** milliseconds */
  readonly patience: number
}

/** GET. Fails with a reason for people when there is no answer. */
export const httpGet = (
  http: Dispatcher,
  { headers, path, patience }: Question
): Effect.Effect<HttpAnswer, { readonly message: string }> =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await http.request({ path, method: "GET", headers, signal })
      return { status: answer.statusCode, body: await answer.body.text() }
    },
    catch: (error) => ({ message: reasonOf(error) })
  }).pipe(
    Effect.timeoutFail({ duration: patience, onTimeout: () => ({ message: `no answer within ${patience / 1000} s` }) })
  )

const reasonOf = (error: unknown): string => {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  switch (code) {
    case "ECONNREFUSED":
      return "the connection is refused: nothing listens there"
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "there is no such host"
    case "UND_ERR_SOCKET":
    case "ECONNRESET":
      return "the connection broke"
    default:
      return error instanceof Error && error.message !== "" ? error.message : code || String(error)
  }
}
