/** The health check of the image: ends with 0 while the instance beside it is alive. Port and TLS are those of its settings. */
import { request as http } from "node:http"
import { request as https } from "node:https"

const { WSM_HTTP_PORT, WSM_TLS_CERT } = process.env
const options = { host: "127.0.0.1", port: Number(WSM_HTTP_PORT || 5001), path: "/health/live", timeout: 2000 }
const ended = (alive) => process.exit(alive ? 0 : 1)
const ask = WSM_TLS_CERT ? https : http
// The certificate names the instance as others see it, not as loopback.
const asked = ask({ ...options, rejectUnauthorized: false }, (answer) => ended(answer.statusCode === 200))
asked.on("timeout", () => ended(false))
asked.on("error", () => ended(false))
asked.end()
