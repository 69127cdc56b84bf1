// A console whose lines reach the host's log. Nothing that is logged fails a handler.

import { isThere } from "./host.js";
import * as log from "./log.js";

const counts = new Map();
const begun = new Map();

/** What does nothing here: there is no indentation to change and nothing to clear. */
function nothing() {}

export const console = {
  trace: log.trace,
  debug: log.debug,
  log: log.info,
  info: log.info,
  warn: log.warn,
  error: log.error,
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

function clock() {
  return isThere() ? Date.now() : 0;
}

function elapsed(label) {
  const start = begun.get(label);
  return start === undefined ? `${String(label)}: no such timer` : `${String(label)}: ${clock() - start}ms`;
}
