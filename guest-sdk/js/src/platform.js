// The time of day and chance, as the host gives them.

import { host } from "./host.js";

export function now() {
  return new Date(host().now());
}

export function randomBytes(count) {
  return host().randomBytes(count);
}
