// The plugin's configuration: its declared defaults, overridden by the operator's sidecar.

import { nonEmpty } from "./fit.js";
import { host } from "./host.js";

export function get(key) {
  return host().configGet(nonEmpty(key, "a key of the configuration")) ?? undefined;
}

export function require(key) {
  const value = get(key);
  if (value === undefined) throw new Error(`the configuration has no \`${key}\`; set it in the sidecar's [config]`);
  return value;
}
