/** What the system says of a socket, in one line for people: no OpenSSL internals, no URL, no header. */

const SAID: Readonly<Record<string, string>> = {
  ECONNRESET: "the peer reset the connection",
  EPIPE: "the peer takes nothing more",
  ETIMEDOUT: "the network did not answer"
}

/** `…:error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:../deps/…`: the fifth field is for people. */
const OPENSSL = /error:[0-9A-Fa-f]{8}:[^:]*:[^:]*:([^:\n]+)/

/** Why an open socket broke. */
export const ofSocket = (error: Error): string => {
  const { code = "" } = error as NodeJS.ErrnoException
  const known = SAID[code]
  return known === undefined ? oneLine(error) : `${known} (${code})`
}

/** The message of any error of the network; of TLS, what OpenSSL calls the reason. */
export const oneLine = (error: Error): string => {
  const ofTls = OPENSSL.exec(error.message)
  return ofTls === null ? error.message.trim().replaceAll(/\s+/g, " ") : `TLS: ${ofTls[1]!.trim()}`
}
