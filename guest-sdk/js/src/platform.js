// The time and random bytes from the host.

import { whole } from "./fit.js";
import { host } from "./host.js";

export function now() {
  return new Date(host().now());
}

/** The maximum number of random bytes per call. */
const MAX_BYTES = 16 << 20;
/** The number of random bytes that the host is asked for at a time. */
const CHUNK = 64 << 10;

export function randomBytes(count) {
  const size = whole(count, "the count of random bytes", 0, MAX_BYTES);
  if (size <= CHUNK) return host().randomBytes(size);
  const all = new Uint8Array(size);
  for (let start = 0; start < size; start += CHUNK)
    all.set(host().randomBytes(Math.min(CHUNK, size - start)), start);
  return all;
}
