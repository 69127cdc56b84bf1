// The plugin's own durable state. Values are JSON, unless they are read and written as bytes.

import { host } from "./host.js";
import { decodeJson, encodeJson } from "./text.js";

export function get(key) {
  const bytes = getBytes(key);
  if (bytes === undefined) return undefined;
  try {
    return decodeJson(bytes);
  } catch (cause) {
    throw new Error(`the value of \`${key}\` is no JSON; read it with getBytes`, { cause });
  }
}

export function set(key, value) {
  setBytes(key, encodeJson(value, `the value of \`${key}\``));
}

export function getBytes(key) {
  return host().stateGet(key) ?? undefined;
}

export function setBytes(key, bytes) {
  host().stateSet(key, bytes);
}

export function exists(key) {
  return getBytes(key) !== undefined;
}

function remove(key) {
  host().stateDelete(key);
}

export { remove as delete };

export function increment(key, delta = 1) {
  if (!Number.isSafeInteger(delta)) throw new TypeError(`\`${key}\` is added to by an integer, and not by ${delta}`);
  return host().stateIncrement(key, delta);
}

export function keys(prefix = "") {
  return host()
    .stateKeys()
    .filter((key) => key.startsWith(prefix));
}
