// Log lines. The host adds the plugin's name, the event's id and the attempt.

import { wellFormed } from "./fit.js";
import { host, isThere } from "./host.js";
import { show } from "./show.js";
import { located } from "./stack.js";

export const trace = (...values) => line("trace", values);
export const debug = (...values) => line("debug", values);
export const info = (...values) => line("info", values);
export const warn = (...values) => line("warn", values);
export const error = (...values) => line("error", values);

function line(level, values) {
  // A module may log while it is loaded at build time, where there is no host.
  if (isThere()) host().log(level, "", wellFormed(located(values.map(show).join(" "))));
}
