// Rules of subscriptions: from the options that a plugin writes to what the contract has. An option that is
// unknown is an error, since a misspelt one would otherwise do nothing without a word.

import { milliseconds } from "./duration.js";
import { EXACT, U32, identifier, optionalText, optionalWhole, whole } from "./fit.js";
import { jsonText } from "./text.js";

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
  throw new TypeError(`${what}: start is "now", "beginning", a Date or { position }`);
}

const RETRY = ["attempts", "firstDelay", "factor", "maxDelay", "jitter", "permanent"];

function retryPolicy(options, what) {
  known(options, RETRY, `${what}: retry`);
  return {
    attempts: optionalWhole(options.attempts, `${what}: attempts`, 1, U32),
    firstDelayMs: milliseconds(options.firstDelay, `${what}: firstDelay`),
    factorPercent: percent(options.factor, `${what}: factor`),
    maxDelayMs: milliseconds(options.maxDelay, `${what}: maxDelay`),
    jitterPercent: percent(options.jitter, `${what}: jitter`),
    permanent: (options.permanent ?? []).map((cause) => identifier(cause, `${what}: a permanent cause`)),
  };
}

function percent(fraction, what) {
  if (fraction === undefined) return null;
  const value = typeof fraction === "number" ? Math.round(fraction * 100) : NaN;
  if (value >= 0 && value <= U32) return value;
  throw new TypeError(`${what} must be a number from 0 on, not ${JSON.stringify(fraction)}`);
}

/** One of some texts, which may be left out. */
export function oneOf(value, what, choices) {
  if (value === undefined || value === null) return null;
  if (choices.includes(value)) return value;
  throw new TypeError(`${what} is one of ${choices.join(", ")}, not ${JSON.stringify(value)}`);
}

/** Whether a pattern takes a type; the rules are in the contract's `subscription.pattern`. */
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

/** Whether a text is a pattern of event types, which a type can match. */
export function isPattern(text) {
  const words = text.split(".");
  const last = words.pop();
  return (
    new TextEncoder().encode(text).length <= 255 &&
    (last === "*" || last === ">" || isWord(last)) &&
    words.every((word) => word === "*" || isWord(word))
  );
}

/** White space in Unicode, but for the controls. */
const WHITE_SPACE = /[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function isWord(text) {
  const isOutside = (character) => "*>".includes(character) || isForbidden(character.codePointAt(0));
  return text !== "" && !WHITE_SPACE.test(text) && ![...text].some(isOutside);
}

/** Whether no CloudEvents string has the character: it is a control or a noncharacter. */
function isForbidden(code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xfdd0 && code < 0xfdf0) || (code & 0xfffe) === 0xfffe;
}
