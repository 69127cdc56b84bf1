// The plugin's durable state. Values are JSON, unless read and written as bytes.

import { StateError } from "./failure.js";
import { bytes, identifier, nonEmpty } from "./fit.js";
import { host } from "./host.js";
import { decodeJson, encodeJson } from "./text.js";

export function get(key) {
  const bytes = getBytes(key);
  if (bytes === undefined) return undefined;
  try {
    return decodeJson(bytes);
  } catch (cause) {
    throw new StateError("unreadable", `the value of \`${key}\` is not JSON; read it with getBytes`, { cause });
  }
}

export function set(key, value) {
  setBytes(key, encodeJson(value, `the value of \`${key}\``));
}

export function getBytes(key) {
  return host().stateGet(named(key)) ?? undefined;
}

export function setBytes(key, value) {
  host().stateSet(named(key), bytes(value, `the value of \`${key}\``));
}

export function exists(key) {
  return getBytes(key) !== undefined;
}

function remove(key) {
  host().stateDelete(named(key));
}

export { remove as delete };

export function increment(key, delta = 1) {
  return exact(key, host().stateIncrement(named(key), checkedDelta(key, delta)));
}

export function add(key, delta = 1) {
  host().stateAdd(named(key), checkedDelta(key, delta));
}

export function sequence(name) {
  return exact(name, host().stateSequence(nonEmpty(name, "the name of a sequence")));
}

/** Checks a number to add. */
function checkedDelta(key, delta) {
  if (Number.isSafeInteger(delta)) return delta;
  throw new TypeError(`the number to add to \`${key}\` must be an integer, not ${String(delta)}`);
}

/**
 * Converts a 64-bit integer of the host. If a JavaScript number cannot represent it exactly, it throws and does not
 * round.
 */
function exact(key, number) {
  if (Number.isSafeInteger(number)) return number;
  const reason = `the value of \`${key}\` is beyond 2^53, where numbers are not exact; read it with getBytes`;
  throw new StateError("out-of-range", reason);
}

function named(key) {
  return nonEmpty(key, "a key of the state");
}

export function keys(prefix = "") {
  identifier(prefix, "the prefix of keys");
  return host()
    .stateKeys()
    .filter((key) => key.startsWith(prefix));
}
