// Write Sandbus event handlers in JavaScript or TypeScript. What a plugin's source imports is here; the types
// and their documentation are in index.d.ts.

export { cancel, publish, publishMany, reply, subscribe, unsubscribe } from "./bus.js";
export * as config from "./config.js";
export { BusError, Reject, Retry, StateError, reject, retry } from "./failure.js";
export { Problem } from "./http.js";
export * as log from "./log.js";
export { Plugin, plugin } from "./plugin.js";
export { now, randomBytes } from "./platform.js";
export * as state from "./state.js";
