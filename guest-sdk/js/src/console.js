// A console whose lines reach the host's log. Nothing that is logged fails a handler.

import { isThere } from "./host.js";
import * as log from "./log.js";
import { show } from "./show.js";

const counts = new Map();
const begun = new Map();

/** What does nothing here: there is no indentation to change and nothing to clear. */
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
  time: (label = "default") => void begun.set(label, clock()),
  timeLog: (label = "default", ...values) => log.info(elapsed(label), ...values),
  timeEnd: (label = "default") => {
    log.info(elapsed(label));
    begun.delete(label);
  },
};

/** The values with the first one's directives filled in (WHATWG Console, section 2.2.1). */
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
  const start = begun.get(label);
  return start === undefined ? `${String(label)}: no such timer` : `${String(label)}: ${clock() - start}ms`;
}
