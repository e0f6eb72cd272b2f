/** Errors over HTTP: `application/problem+json`, status and fields as in the contract's table. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { cut, ERROR_TABLE, errorFields, type ManagerError } from "../../domain/Errors.js"

export const PROBLEM_JSON = "application/problem+json"

export interface Problem {
  readonly status: number
  readonly body: string
}

/** `type` urn:websocketmanager:error:<Tag>, `title` the tag, `status`, `detail`, and the error's fields beside them. */
export const fromError = (error: ManagerError): Problem => {
  const status = ERROR_TABLE[error._tag].http
  const document = {
    ...errorFields(error),
    type: `urn:websocketmanager:error:${error._tag}`,
    title: error._tag,
    status,
    detail: cut(error.message)
  }
  return { status, body: JSON.stringify(document) }
}

/** What HTTP itself refuses: no tag of the contract stands for it. */
export const fromStatus = (status: number, title: string, detail: string): Problem => ({
  status,
  body: JSON.stringify({ type: "about:blank", title, status, detail: cut(detail) })
})

/** Answers of the HTTP routes. */
export const problem = ({ body, status }: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(body, { status, contentType: PROBLEM_JSON })

/** One line for people. */
export const line = (status: number, text: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`${text}\n`, { status })

export const empty = (status: number): HttpServerResponse.HttpServerResponse => HttpServerResponse.empty({ status })
