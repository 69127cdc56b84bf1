// Rules of subscriptions: from the options that a plugin writes to what the contract has. An option that is
// unknown is an error, since a misspelt one would otherwise do nothing without a word.

import { milliseconds } from "./duration.js";

/** Refuses options that are none. */
export function known(options, names, what) {
  for (const name of Object.keys(options)) {
    if (!names.includes(name))
      throw new TypeError(`${what}: unknown option \`${name}\`; known are ${names.join(", ")}`);
  }
}

/** The names of what declared subscriptions and those made at run time have in common. */
export const SHARED = ["filters", "start", "concurrency", "orderingKey", "deadLetterPolicy", "retry"];

/** What declared subscriptions and those made at run time have in common, as the contract has it. */
export function shared(options, what) {
  return {
    filters: options.filters === undefined ? null : JSON.stringify(options.filters),
    start: start(options.start, what),
    concurrency: options.concurrency ?? null,
    orderingKey: options.orderingKey ?? null,
    deadLetterPolicy: options.deadLetterPolicy ?? null,
    retry: options.retry === undefined ? null : retryPolicy(options.retry, what),
  };
}

function start(value, what) {
  if (value === undefined) return null;
  if (value === "now" || value === "beginning") return { tag: value };
  if (value instanceof Date) return { tag: "time", val: value.toISOString() };
  if (typeof value?.position === "number") return { tag: "position", val: value.position };
  throw new TypeError(`${what}: start is "now", "beginning", a Date or { position }`);
}

const RETRY = ["attempts", "firstDelay", "factor", "maxDelay", "jitter", "permanent"];

function retryPolicy(options, what) {
  known(options, RETRY, `${what}: retry`);
  return {
    attempts: options.attempts ?? null,
    firstDelayMs: milliseconds(options.firstDelay, `${what}: firstDelay`),
    factorPercent: percent(options.factor),
    maxDelayMs: milliseconds(options.maxDelay, `${what}: maxDelay`),
    jitterPercent: percent(options.jitter),
    permanent: options.permanent ?? [],
  };
}

function percent(fraction) {
  return fraction === undefined ? null : Math.round(fraction * 100);
}

/** Whether a pattern takes a type; the rules are in the contract's `subscription.pattern`. */
export function matches(pattern, type) {
  const types = type.split(".");
  const tokens = pattern.split(".");
  for (const [index, token] of tokens.entries()) {
    if (index >= types.length) return false;
    if (token === ">") return true;
    if (token !== "*" && token !== types[index]) return false;
  }
  return tokens.length === types.length;
}
