// A console that writes to the host's log. A value that cannot be formatted does not fail the handler.

import { isThere } from "./host.js";
import * as log from "./log.js";
import { show } from "./show.js";

const counts = new Map();
const timers = new Map();

/** For methods that have no effect on a log: there is no indentation to change and nothing to clear. */
function nothing() {}

export const console = {
  trace: (...values) => log.trace(...formatted(values)),
  debug: (...values) => log.debug(...formatted(values)),
  log: (...values) => log.info(...formatted(values)),
  info: (...values) => log.info(...formatted(values)),
  warn: (...values) => log.warn(...formatted(values)),
  error: (...values) => log.error(...formatted(values)),
  dir: (value) => log.info(value),
  dirxml: log.info,
  table: (value) => log.info(value),
  group: (...label) => label.length > 0 && log.info(...label),
  groupCollapsed: (...label) => label.length > 0 && log.info(...label),
  groupEnd: nothing,
  clear: nothing,
  assert: (condition, ...values) => condition || log.error("assertion failed", ...values),
  count: (label = "default") => {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    log.info(`${String(label)}: ${counts.get(label)}`);
  },
  countReset: (label = "default") => counts.delete(label),
  time: (label = "default") => void timers.set(label, clock()),
  timeLog: (label = "default", ...values) => log.info(elapsed(label), ...values),
  timeEnd: (label = "default") => {
    log.info(elapsed(label));
    timers.delete(label);
  },
};

/** Replaces the format specifiers of the first value by the other values (WHATWG Console, section 2.2.1). */
function formatted(values) {
  const [format, ...rest] = values;
  if (typeof format !== "string" || rest.length === 0 || !/%[sdifoOc]/.test(format)) return values;
  const text = format.replaceAll(/%([sdifoOc%])/g, (directive, kind) => {
    if (kind === "%") return "%";
    if (rest.length === 0) return directive;
    const value = rest.shift();
    if (kind === "c") return "";
    const isNumber = typeof value !== "symbol" && typeof value !== "object" && typeof value !== "function";
    if (kind === "d" || kind === "i") return isNumber ? String(parseInt(value, 10)) : "NaN";
    if (kind === "f") return isNumber ? String(parseFloat(value)) : "NaN";
    return show(value);
  });
  return [text, ...rest];
}

function clock() {
  return isThere() ? Date.now() : 0;
}

function elapsed(label) {
  const start = timers.get(label);
  return start === undefined ? `${String(label)}: no such timer` : `${String(label)}: ${clock() - start}ms`;
}
