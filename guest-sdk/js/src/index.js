// The SDK for event handlers in JavaScript and TypeScript. Everything that a plugin imports is here; index.d.ts has the
// types and their documentation.

export { cancel, publish, publishMany, reply, subscribe, unsubscribe } from "./bus.js";
export * as config from "./config.js";
export { BusError, Reject, Retry, StateError, reject, retry } from "./failure.js";
export { Problem } from "./http.js";
export * as log from "./log.js";
export { Plugin, plugin } from "./plugin.js";
export { now, randomBytes } from "./platform.js";
export * as state from "./state.js";
