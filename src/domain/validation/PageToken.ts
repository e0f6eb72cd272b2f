/**
 * The token between two pages of a List: the id after which the next page begins, bound to the query it belongs to.
 *
 * Pages follow the order of ids, so connections that come and go between two pages neither repeat nor hide others.
 */
import { createHash } from "node:crypto"
import * as Either from "effect/Either"
import { parseUuid } from "../../common/Uuid.js"
import { type Checked, refuse } from "./Check.js"

/** What a token is bound to: everything of the query but the size of its pages. */
export type PageQuery = Readonly<Record<string, unknown>>

const queryHash = (query: PageQuery): string =>
  createHash("sha256").update(JSON.stringify(query)).digest("base64url").slice(0, 16)

export const makePageToken = (query: PageQuery, lastId: string): string =>
  Buffer.from(`1.${queryHash(query)}.${lastId}`).toString("base64url")

/** More than any token has. */
const MAX_CHARS = 128

/** The last id of the page before; undefined for the first page. */
export const readPageToken = (query: PageQuery, token: string | undefined): Checked<string | undefined> => {
  if (token === undefined || token === "") return Either.right(undefined)
  if (token.length > MAX_CHARS) return refuse("pageToken", "is no page token")
  const [version, hash, id, ...rest] = Buffer.from(token, "base64url").toString("latin1").split(".")
  const lastId = parseUuid(id ?? "")
  if (version !== "1" || hash === undefined || lastId === undefined || rest.length > 0) {
    return refuse("pageToken", "is no page token")
  }
  if (hash !== queryHash(query)) return refuse("pageToken", "belongs to another query")
  return token === makePageToken(query, lastId) ? Either.right(lastId) : refuse("pageToken", "is no page token")
}
