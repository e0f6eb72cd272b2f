/** The caller's deadline, as the doors and the operations know it; it travels with a forwarded call. */
export * from "../ports/CallDeadline.js"
