/** The health check of the image: ends with 0 while the instance beside it is alive. It is asked where its settings put it. */
import { request as http } from "node:http"
import { request as https } from "node:https"

const { WSM_HOST = "", WSM_HTTP_PORT, WSM_TLS_CERT } = process.env
const bare = WSM_HOST.trim().replace(/^\[(.*)\]$/, "$1")
/** An instance that listens on all addresses is asked on loopback. */
const host = { "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1" }[bare] ?? bare
const port = Number(WSM_HTTP_PORT || 5001)
const ended = (alive) => process.exit(alive ? 0 : 1)
// Any free port: nobody but the instance knows which. Where it runs, so does the container.
if (port === 0) ended(true)
const ask = WSM_TLS_CERT ? https : http
// The certificate names the instance as others see it, not by this address.
const options = { host, port, path: "/health/live", timeout: 2000, rejectUnauthorized: false }
const asked = ask(options, (answer) => ended(answer.statusCode === 200))
asked.on("timeout", () => ended(false))
asked.on("error", () => ended(false))
asked.end()
