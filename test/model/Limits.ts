/** What every world asks of its instances, and holds them to. */

/** frames that one connection may hold */
export const FRAME_LIMIT = 64
/** bytes that one connection may hold */
export const BYTE_LIMIT = 64 * 1024
/** bytes that all connections of one instance may hold */
export const SUM_LIMIT = 1024 * 1024
/** bytes */
export const LARGEST_FRAME = 4_096

export const CONNECTIONS = "websocketmanager/connections/"
