// The time of day and chance, as the host gives them.

import { EXACT, whole } from "./fit.js";
import { host } from "./host.js";

export function now() {
  return new Date(host().now());
}

export function randomBytes(count) {
  return host().randomBytes(whole(count, "the count of random bytes", 0, EXACT));
}
