/** Every operation of the contract over every door of an instance that does not own the connection: the same answers. */
import { doorSuite } from "./doorSuite.js"
import { startCrossed } from "./serverFleet.js"

doorSuite({ start: () => startCrossed({ egressDeny: ["127.66.0.0/16"] }), alone: false })
