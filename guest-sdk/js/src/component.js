// Connects a plugin to its component: the exports of the contract, and the host's imports. The build generates an entry
// that imports it; a plugin's source never does.

import * as bus from "sandbus:plugin/bus@0.1.0";
import * as numbers from "sandbus:plugin/numbers@0.2.0";
import * as clock from "wasi:clocks/wall-clock@0.2.0";
import * as configuration from "wasi:config/store@0.2.0-rc.1";
import * as atomics from "wasi:keyvalue/atomics@0.2.0-draft2";
import * as store from "wasi:keyvalue/store@0.2.0-draft2";
import * as logging from "wasi:logging/logging@0.1.0-draft";
import * as random from "wasi:random/random@0.2.0";

import "./globals.js";
import { reset } from "./random.js";
import { BusError, StateError, describe } from "./failure.js";
import { install, thrownBy } from "./host.js";
import { beginJobs, loaded } from "./jobs.js";
import { numberError, sum } from "./numbers.js";

/** The component's exports. */
export function component(plugin) {
  const failed = loaded();
  if (failed !== null) throw new Error(`while the modules were loaded, ${failed.what}: ${describe(failed.reason)}`);
  install(host);
  return {
    descriptor: { describe: () => plugin.describe() },
    eventHandler: { handle: (delivery) => invoked(() => plugin.deliver(delivery)) },
    httpHandler: { handle: (request) => invoked(() => plugin.respond(request)) },
  };
}

function invoked(call) {
  reset();
  beginJobs();
  return call();
}

// 64-bit integers are numbers on QuickJS and BigInts on StarlingMonkey.
const host = {
  publish: (message) => refusable(() => bus.publish(message)),
  publishMany: (messages) => refusable(() => bus.publishMany(messages)),
  cancel: (id) => refusable(() => bus.cancel(id)),
  reply: (id, pattern, timeoutMs) => refusable(() => bus.reply(id, pattern, timeoutMs)),
  subscribe: (subscription) => refusable(() => bus.subscribe(subscription)),
  unsubscribe: (name) => refusable(() => bus.unsubscribe(name)),
  stateGet: (key) => inBucket((bucket) => bucket.get(key)),
  stateSet: (key, bytes) => inBucket((bucket) => bucket.set(key, bytes)),
  stateDelete: (key) => inBucket((bucket) => bucket.delete(key)),
  stateIncrement: (key, delta) => Number(inBucket((bucket) => increment(bucket, key, delta))),
  stateAdd: (key, delta) => numbered(key, () => numbers.add(key, delta)),
  stateSequence: (name) => Number(numbered(name, () => numbers.sequence(name))),
  stateKeys: () => inBucket(allKeys),
  configGet: (key) => configuration.get(key),
  // The host reads the context of a critical log line as the cause of the failure that follows.
  failed: (kind) => logging.log("critical", kind, ""),
  log: (level, context, message) => logging.log(level, context, message),
  now: () => {
    const { seconds, nanoseconds } = clock.now();
    return Number(seconds) * 1_000 + Math.floor(nanoseconds / 1_000_000);
  },
  randomBytes: (count) => random.getRandomBytes(count),
};

function refusable(call) {
  try {
    return call();
  } catch (error) {
    const { tag, val } = thrownBy(error);
    throw tag === undefined ? error : new BusError(tag, val);
  }
}

function inBucket(call) {
  // The host limits the number of handles, and garbage is collected only after the handler has ended.
  const bucket = store.open("");
  try {
    return call(bucket);
  } catch (error) {
    if (error instanceof StateError) throw error;
    const { tag, val } = thrownBy(error);
    throw tag === undefined ? error : new StateError("other", `the state refused the call: ${val ?? tag}`);
  } finally {
    bucket[Symbol.dispose]?.();
  }
}

function increment(bucket, key, delta) {
  try {
    return atomics.increment(bucket, key, delta);
  } catch (error) {
    // `wasi:keyvalue` has one error for all reasons, so `sum` finds the reason.
    sum(bucket.get(key), delta, key);
    throw error;
  }
}

function numbered(key, call) {
  try {
    return call();
  } catch (error) {
    const { tag, val } = thrownBy(error);
    if (tag === "not-a-number" || tag === "out-of-range") throw numberError(tag, key);
    throw tag === undefined ? error : new StateError(tag, `the state refused the call: ${val ?? tag}`);
  }
}

function allKeys(bucket) {
  const keys = [];
  let cursor = null;
  do {
    const page = bucket.listKeys(cursor);
    keys.push(...page.keys);
    cursor = page.cursor ?? null;
  } while (cursor !== null);
  return keys;
}
