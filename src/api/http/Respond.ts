/** Answers of the HTTP routes. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { PROBLEM_JSON, type Problem } from "./Problem.js"

export const problem = ({ body, status }: Problem): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(body, { status, contentType: PROBLEM_JSON })

/** One line for people. */
export const line = (status: number, text: string): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`${text}\n`, { status })

export const empty = (status: number): HttpServerResponse.HttpServerResponse => HttpServerResponse.empty({ status })
