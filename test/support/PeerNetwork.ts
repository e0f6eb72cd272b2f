export * from "../../src/testing/PeerNetwork.js"
