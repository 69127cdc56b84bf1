// Rules of subscriptions: converts the options that a plugin writes to the contract's records. An unknown option is an
// error, since a misspelt one would otherwise be ignored silently.

import { milliseconds } from "./duration.js";
import { EXACT, U32, identifier, kind, optionalText, optionalWhole, whole } from "./fit.js";
import { jsonText } from "./text.js";

/** Throws if an option has an unknown name. `renamed` maps old names of options to new ones. */
export function checkNames(options, names, what, renamed = {}) {
  if (options === null || typeof options !== "object" || Array.isArray(options))
    throw new TypeError(`${what}: the options must be an object, not ${kind(options)}`);
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    if (Object.hasOwn(renamed, name)) throw new TypeError(`${what}: \`${name}\` was renamed to \`${renamed[name]}\``);
    throw new TypeError(`${what}: unknown option \`${name}\`; the options are ${names.join(", ")}`);
  }
}

/** The options that subscriptions have, whether they are declared or created at run time. */
export const SHARED = ["filters", "start", "concurrency", "orderingKey", "deadLetterPolicy", "retry"];

/** Converts the shared options to the contract's record. */
export function sharedRules(options, what) {
  return {
    filters: options.filters === undefined ? null : jsonText(options.filters, `${what}: filters`),
    start: start(options.start, what),
    concurrency: optionalWhole(options.concurrency, `${what}: concurrency`, 1, U32),
    orderingKey: optionalText(options.orderingKey, `${what}: orderingKey`),
    deadLetterPolicy: oneOf(options.deadLetterPolicy, `${what}: deadLetterPolicy`, ["release", "park"]),
    retry: options.retry === undefined ? null : retryPolicy(options.retry, what),
  };
}

function start(value, what) {
  if (value === undefined) return null;
  if (value === "now" || value === "beginning") return { tag: value };
  if (value instanceof Date) return { tag: "time", val: value.toISOString() };
  if (value?.position !== undefined)
    return { tag: "position", val: whole(value.position, `${what}: position`, 0, EXACT) };
  throw new TypeError(`${what}: start must be "now", "beginning", a Date or { position }`);
}

export const RETRY_POLICY = ["maxAttempts", "initialDelay", "backoffMultiplier", "maxDelay", "jitter", "nonRetryable"];

const RENAMED = {
  attempts: "maxAttempts",
  firstDelay: "initialDelay",
  factor: "backoffMultiplier",
  permanent: "nonRetryable",
};

function retryPolicy(options, what) {
  checkNames(options, RETRY_POLICY, `${what}: retry`, RENAMED);
  const { nonRetryable = [] } = options;
  if (!Array.isArray(nonRetryable))
    throw new TypeError(`${what}: nonRetryable must be an array of causes, such as ["trap"]`);
  return {
    attempts: optionalWhole(options.maxAttempts, `${what}: maxAttempts`, 1, U32),
    firstDelayMs: milliseconds(options.initialDelay, `${what}: initialDelay`),
    factorPercent: percent(options.backoffMultiplier, `${what}: backoffMultiplier`),
    maxDelayMs: milliseconds(options.maxDelay, `${what}: maxDelay`),
    jitterPercent: percent(options.jitter, `${what}: jitter`),
    permanent: nonRetryable.map((cause) => identifier(cause, `${what}: a cause in nonRetryable`)),
  };
}

function percent(fraction, what) {
  if (fraction === undefined) return null;
  const value = typeof fraction === "number" ? Math.round(fraction * 100) : NaN;
  if (value >= 0 && value <= U32) return value;
  throw new TypeError(`${what} must be a number of at least 0, not ${JSON.stringify(fraction)}`);
}

/** Checks an optional string that must be one of several. */
export function oneOf(value, what, choices) {
  if (value === undefined || value === null) return null;
  if (choices.includes(value)) return value;
  throw new TypeError(`${what} must be one of ${choices.join(", ")}, not ${JSON.stringify(value)}`);
}

/** Whether a pattern matches a type, as the contract's `subscription.pattern` specifies. */
export function matches(pattern, type) {
  if (pattern === ">") return type !== "";
  const types = type.split(".");
  const tokens = pattern.split(".");
  if (!types.every(isWord)) return false;
  for (const [index, token] of tokens.entries()) {
    if (index >= types.length) return false;
    if (token === ">") return true;
    if (token !== "*" && token !== types[index]) return false;
  }
  return tokens.length === types.length;
}

/** Whether a text is a valid pattern of event types. */
export function isPattern(text) {
  const words = text.split(".");
  const last = words.pop();
  return (
    new TextEncoder().encode(text).length <= 255 &&
    (last === "*" || last === ">" || isWord(last)) &&
    words.every((word) => word === "*" || isWord(word))
  );
}

/** Unicode's white space, except control characters. */
const WHITE_SPACE = /[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function isWord(text) {
  const isOutside = (character) => "*>".includes(character) || isForbidden(character.codePointAt(0));
  return text !== "" && !WHITE_SPACE.test(text) && ![...text].some(isOutside);
}

/** Whether CloudEvents forbids the character in strings: it is a control character or a noncharacter. */
function isForbidden(code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xfdd0 && code < 0xfdf0) || (code & 0xfffe) === 0xfffe;
}
