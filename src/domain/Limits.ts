/**
 * What one party may cost before any work is done for it: the one table of such numbers. Each is looked at before bytes are
 * kept, decoded or walked. The same rows stand in `proto/README.md`, and a test compares the two.
 *
 * A name ends in what it counts: `_BYTES`, `_MS`, `_CHARS`, `_DEPTH`; without such an ending it is a number of things.
 */

const KIB = 1024
const MIB = 1024 * KIB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 3600 * SECOND

/** Reaches a port and has shown no token. */
export const STRANGER = {
  /** streams of one HTTP/2 connection at the gRPC door */
  GRPC_STREAMS: 250,
  /** headers of one gRPC call, as HTTP/2 counts them */
  GRPC_HEADER_BYTES: 16 * KIB,
  /** streams of all strangers at the gRPC door together: their headers, and 4 KiB each */
  GRPC_BYTES: 32 * MIB,
  /** how long a gRPC connection without a stream is kept */
  GRPC_IDLE_MS: 10 * MINUTE,
  /** one message to the health service */
  GRPC_HEALTH_MESSAGE_BYTES: KIB,
  /** health watches at the gRPC door, all strangers together */
  GRPC_HEALTH_WATCHES: 100,
  /** what it may send at the peers' door before it has proved that it is one */
  PEER_PROOF_BYTES: 4 * KIB,
  /** how long it may take for that */
  PEER_PROOF_MS: 3 * SECOND,
  /** sockets at the peers' door that have not proved it, all strangers together */
  PEERS_UNPROVEN: 64,
  /** how long a refused upgrade may keep its socket, and an answered call its stream */
  REFUSED_UPGRADE_MS: SECOND,
  /** how long until a socket has said what it wants: a TLS handshake, the headers of a request, a gRPC request without a token */
  SILENT_MS: 10 * SECOND,
  /** sockets of one door; at most a quarter of the files that the process may open */
  CONNECTIONS: 4 * KIB,
  /** of these of one address: one half */
  CONNECTIONS_SHARE: 2
} as const

/** Has shown the token, or needs none. */
export const CALLER = {
  /** one text step of a login, one application-level ping */
  TEXT_STEP_BYTES: 64 * KIB,
  SUBPROTOCOLS: 16,
  SUBPROTOCOL_CHARS: 256,
  /** a JSON path */
  PATH_CHARS: 256,
  PATH_STEPS: 32,
  /** what stands between `${` and `}`: `secret:NAME/KEY`, 128 characters each, and eight */
  PLACEHOLDER_CHARS: 264,
  /** the URL, a header value or a subprotocol, once filled in */
  FILLED_BYTES: 64 * KIB,
  /** captures of one login */
  CAPTURES: 16,
  /** close codes in one list of a connection: there are no more than these */
  CLOSE_CODES: 4000,
  /** places where a reply's id may stand, for the Sends in flight on one connection */
  REPLY_PATHS: 16,
  /** filters of one List, Watch or Subscribe */
  FILTERS: 50,
  /** ids in one request */
  IDS: 1000,
  /** messages that wait for one socket, and as many again with it */
  QUEUE_MESSAGES: 1024,
  /** bytes of those that wait; a larger message waits alone */
  QUEUE_BYTES: 4 * MIB,
  /** all that is kept of one connection to be sent: what waits, and what is with the socket */
  CONNECTION_BYTES: 32 * MIB,
  /** Sends in mode NEXT that wait for their turn on one connection */
  NEXT_WAITING: 64,
  /** how long the reply to a Send in mode NEXT that gave up holds the next one back, before a new socket is needed */
  NEXT_OWED_MS: 10 * SECOND,
  /** bytes of messages that are searched for their id, or wrapped, in one turn of the event loop; a page of a List is an eighth */
  TURN_BYTES: MIB,
  /** ids of Sends that gave up, of one place where a reply carries its id, whose replies mode NEXT does not take for its own */
  LATE_IDS: 256,
  /** such places of one connection */
  LATE_PATHS: 8,
  /** the shortest `ping_interval_ms` */
  PING_INTERVAL_MS: 100,
  /** the longest `dead_after_ms` */
  DEAD_AFTER_MS: HOUR,
  /** the longest `timeout_ms` of any request or login step, `dial_timeout_ms`, `ping_interval_ms` and `linger_ms` */
  TIMEOUT_MS: HOUR,
  /** the longest `idle_after_ms`, `base_delay_ms`, `max_delay_ms` and `stable_after_ms` */
  DELAY_MS: 168 * HOUR,
  /** what one reader of a stream has not read yet */
  READER_ITEMS: 16 * KIB,
  READER_BYTES: 4 * MIB,
  /** fields of one gRPC message: those of inner messages, entries and items too */
  GRPC_FIELDS: 16 * KIB,
  /** requests of one client that have not been answered */
  REQUESTS: 4 * KIB,
  /** bytes of these, whole or on their way; what is over waits in the client's socket, over gRPC it is refused */
  REQUEST_BYTES: 64 * MIB,
  /** the same of all clients of an instance together */
  ALL_REQUEST_BYTES: 256 * MIB,
  /** answers of one client that it has not read, and as much as is left for the others at most; what is over waits */
  UNREAD_BYTES: 32 * MIB,
  /** the same of all clients of an instance together, over gRPC and WebSockets */
  ALL_UNREAD_BYTES: 256 * MIB,
  /** while more than a quarter of that is taken: how long a client, or a peer, may take nothing of what waits for it */
  UNREAD_STALL_MS: 30 * SECOND,
  /** streams of an instance, over all doors; the last quarter is kept for clients that have less than that */
  STREAMS: 1000,
  /** MessagePack: containers inside containers */
  MSGPACK_DEPTH: 32,
  /** MessagePack values of one HTTP body or WebSocket message: scalars, containers and keys */
  MSGPACK_VALUES: 64 * KIB,
  /** RPC messages in one HTTP body */
  MESSAGES_PER_BODY: 64,
  /** RPC messages in one WebSocket message */
  MESSAGES_PER_FRAME: 16
} as const

/** Another instance of the fleet. */
export const PEER = {
  /** requests of one peer that have not been answered */
  REQUESTS: 16 * KIB,
  /** bytes of these, whole or on their way: what its own callers may have there */
  REQUEST_BYTES: 256 * MIB,
  /** the same of all peers together */
  ALL_REQUEST_BYTES: 512 * MIB,
  /** answers of one peer that it has not read; what is over waits */
  UNREAD_BYTES: 64 * MIB,
  /** the same of all peers together */
  ALL_UNREAD_BYTES: 512 * MIB,
  /** MessagePack values of one answer of a peer, or of a manager to its client */
  MSGPACK_VALUES: 1024 * KIB,
  /** an address in a hello or a heartbeat record */
  ADDRESS_CHARS: 256,
  /** how long a heartbeat record may ask to be waited for */
  HEARTBEAT_TTL_MS: HOUR,
  /** peers that said hello and have not been read of in the store yet */
  GREETERS: 256
} as const

/** All of them together, as parts of what the process may have. */
export const OVERLOAD = {
  /** of V8's heap limit, or of the container's, after a collection: from here on new calls are refused */
  CALLS_PERCENT: 85,
  /** and from here on the largest connections are not read */
  FEEDS_PERCENT: 95
} as const

/** The remote WebSocket server that a caller had this instance connect to. */
export const FEED = {
  /** addresses of a name that one dial may try, half of them of each family */
  ADDRESSES: 16,
  /** what one capture of a login may hold */
  CAPTURE_BYTES: 64 * KIB,
  /** containers inside containers in a frame that is looked into; a deeper one is an ordinary frame */
  JSON_DEPTH: 512,
  /** the largest frame that is looked into for a reply or a login step, unless the connection says otherwise */
  REPLY_BYTES: MIB,
  /** processor time of one connection in one turn of the event loop */
  TURN_MS: 250,
  /** how often a connection may be over that before it is quarantined */
  TURNS_TOO_EXPENSIVE: 3,
  /** within which time it is counted */
  TOO_EXPENSIVE_WITHIN_MS: HOUR,
  /** how long it is not read each time */
  TOO_EXPENSIVE_PAUSE_MS: SECOND,
  /** fragments of one message */
  FRAGMENTS: 16 * KIB,
  /** reads of the socket in which one fragment may come */
  READS: 16 * KIB
} as const
