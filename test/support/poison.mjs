/**
 * For `node --import`: whatever dials a path that begins with /poison is harmed as POISON says. Stands for all that can end a
 * process from within one connection, and that nothing there can catch.
 */
import { subscribe } from "node:diagnostics_channel"

const HARM = {
  kill: () => process.kill(process.pid, "SIGKILL"),
  abort: () => process.exit(134),
  // a moment after the dial, in the middle of whatever goes on then
  later: () => setTimeout(() => process.kill(process.pid, "SIGKILL"), 700),
  // never comes back: silence is all that others hear of it
  spin: () => {
    for (;;);
  }
}

subscribe("http.client.request.start", ({ request }) => {
  if (request.path.startsWith("/poison")) HARM[process.env.POISON]()
})
