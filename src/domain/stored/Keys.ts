/** The keys of the state store (proto/README.md, Keys of the state store) and the version of what stands under them. */

export const SCHEMA_VERSION = 1

const ROOT = "websocketmanager"

export const INDEX_KEY = `${ROOT}/instances/_index`
export const instanceKey = (instanceId: string): string => `${ROOT}/instances/${instanceId}`
export const pageKey = (instanceId: string, page: number): string =>
  `${ROOT}/instances/${instanceId}/connections/${page}`
export const connectionKey = (connectionId: string): string => `${ROOT}/connections/${connectionId}`

/** Ids on one page of an instance. */
export const PAGE_SIZE = 256
