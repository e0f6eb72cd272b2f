/** The operations of the contract under their names on the wire, for the doors. */
export * from "../../manager/Operations.js"
