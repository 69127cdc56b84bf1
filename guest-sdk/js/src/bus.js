// Publishing and subscribing.

import { milliseconds } from "./duration.js";
import { bytes, identifier, kind, nonEmpty, optionalText } from "./fit.js";
import { host } from "./host.js";
import { SHARED, checkNames, sharedRules } from "./rules.js";
import { encode, encodeJson, isJson } from "./text.js";

export const MESSAGE = ["subject", "extensions", "delay", "at", "contentType", "schema"];

export function publish(type, data, options = {}) {
  return host().publish(message(type, data, options));
}

export function publishMany(events) {
  if (!Array.isArray(events)) throw new TypeError("publishMany takes an array of events, each { type, data }");
  return host().publishMany(events.map(messageOf));
}

export function cancel(id) {
  host().cancel(nonEmpty(id, "the id of an event"));
}

export function reply(id, pattern, timeout = "5s") {
  identifier(id, "the id of an event");
  host().reply(id, identifier(pattern, "the pattern of a reply"), milliseconds(timeout, "timeout"));
  return { status: 200 };
}

export function subscribe(subscription) {
  checkNames(subscription, ["name", "pattern", "to", ...SHARED], "subscribe");
  const { to } = subscription;
  const name = identifier(subscription.name, "the name of a subscription");
  const pattern = identifier(subscription.pattern, `the pattern of subscription ${name}`);
  host().subscribe({ name, pattern, target: target(to, name), ...sharedRules(subscription, `subscription ${name}`) });
}

export function unsubscribe(name) {
  host().unsubscribe(identifier(name, "the name of a subscription"));
}

function messageOf(event, index) {
  if (event === null || typeof event !== "object")
    throw new TypeError(`publishMany: each event must be { type, data }, but event ${index} is ${kind(event)}`);
  const { type, data, ...options } = event;
  return message(type, data, options);
}

/** Converts an event to the contract's record. */
function message(type, data, options) {
  identifier(type, "the type of an event");
  checkNames(options, MESSAGE, `publish ${type}`);
  const contentType = optionalText(options.contentType, `publish ${type}: contentType`) ?? undefined;
  const [datacontenttype, payload] = encoded(type, data, contentType);
  return {
    type,
    subject: optionalText(options.subject, `publish ${type}: subject`),
    datacontenttype,
    dataschema: optionalText(options.schema, `publish ${type}: schema`),
    extensions: Object.entries(options.extensions ?? {}).map(([name, value]) => extension(type, name, value)),
    data: payload,
    due: due(options),
  };
}

/** An extension attribute. Numbers and booleans have the form that CloudEvents gives them (1.0.2, section 3.1). */
function extension(type, name, value) {
  const what = `publish ${type}: the extension \`${name}\``;
  identifier(name, `publish ${type}: the name of an extension`);
  const text = optionalText(typeof value === "number" || typeof value === "boolean" ? String(value) : value, what);
  if (text === null) throw new TypeError(`${what} has no value`);
  return [name, text];
}

/**
 * Converts data to its media type and bytes: bytes stay, strings become UTF-8 if the media type is not JSON, others
 * JSON.
 */
function encoded(type, data, contentType) {
  if (data === undefined) return [contentType ?? null, null];
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer)
    return [contentType ?? "application/octet-stream", bytes(data, `the data of ${type}`)];
  if (typeof data === "string" && contentType !== undefined && !isJson(contentType)) return [contentType, encode(data)];
  return [contentType ?? "application/json", encodeJson(data, `the data of ${type}`)];
}

function due({ delay, at }) {
  if (delay !== undefined && at !== undefined) throw new TypeError("publish: choose `delay` or `at`");
  if (delay !== undefined) return { tag: "after-ms", val: milliseconds(delay, "delay") };
  if (at !== undefined) return { tag: "at", val: time(at) };
  return { tag: "now" };
}

function time(at) {
  if (!(at instanceof Date)) return identifier(at, "at");
  if (Number.isNaN(at.getTime())) throw new TypeError("publish: `at` is an invalid Date");
  return at.toISOString();
}

function target(to, name) {
  const what = `subscription ${name}: to`;
  if (typeof to?.plugin === "string") return { tag: "plugin", val: nonEmpty(to.plugin, what) };
  if (typeof to?.webhook === "string") {
    const secret = optionalText(to.secret, `subscription ${name}: secret`);
    return { tag: "webhook", val: { url: identifier(to.webhook, what), secret, handshake: Boolean(to.handshake) } };
  }
  throw new TypeError(`subscription ${name} has no target: add \`to: { plugin }\` or \`to: { webhook }\``);
}
