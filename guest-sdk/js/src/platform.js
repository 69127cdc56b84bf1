// The time of day and random numbers, from the host.

import { whole } from "./fit.js";
import { host } from "./host.js";

export function now() {
  return new Date(host().now());
}

/** The most random bytes of one call, and how many the host gives at a time. */
const MOST = 16 << 20;
const AT_ONCE = 64 << 10;

export function randomBytes(count) {
  const size = whole(count, "the count of random bytes", 0, MOST);
  if (size <= AT_ONCE) return host().randomBytes(size);
  const all = new Uint8Array(size);
  for (let start = 0; start < size; start += AT_ONCE)
    all.set(host().randomBytes(Math.min(AT_ONCE, size - start)), start);
  return all;
}
