// Publishing and subscribing.

import { milliseconds } from "./duration.js";
import { host } from "./host.js";
import { SHARED, known, shared } from "./rules.js";
import { encode, encodeJson, isJson } from "./text.js";

const MESSAGE = ["subject", "extensions", "delay", "at", "contentType", "schema"];

export function publish(type, data, options = {}) {
  return host().publish(message(type, data, options));
}

export function publishMany(events) {
  return host().publishMany(events.map(({ type, data, ...options }) => message(type, data, options)));
}

export function cancel(id) {
  host().cancel(id);
}

export function reply(id, pattern, timeout = "5s") {
  host().reply(id, pattern, milliseconds(timeout, "timeout"));
  return { status: 200 };
}

export function subscribe(subscription) {
  known(subscription, ["name", "pattern", "to", ...SHARED], "subscribe");
  const { name, pattern, to } = subscription;
  host().subscribe({ name, pattern, target: target(to, name), ...shared(subscription, `subscription ${name}`) });
}

export function unsubscribe(name) {
  host().unsubscribe(name);
}

/** An event as the contract has it. */
function message(type, data, options) {
  known(options, MESSAGE, `publish ${type}`);
  const [datacontenttype, bytes] = payload(type, data, options.contentType);
  return {
    type,
    subject: options.subject ?? null,
    datacontenttype,
    dataschema: options.schema ?? null,
    extensions: Object.entries(options.extensions ?? {}),
    data: bytes,
    due: due(options),
  };
}

/** Bytes go as they are, texts of other media types in UTF-8, and everything else as JSON. */
function payload(type, data, contentType) {
  if (data === undefined) return [contentType ?? null, null];
  if (data instanceof Uint8Array) return [contentType ?? "application/octet-stream", data];
  if (typeof data === "string" && contentType !== undefined && !isJson(contentType)) return [contentType, encode(data)];
  return [contentType ?? "application/json", encodeJson(data, `the data of ${type}`)];
}

function due({ delay, at }) {
  if (delay !== undefined && at !== undefined) throw new TypeError("publish: choose `delay` or `at`");
  if (delay !== undefined) return { tag: "after-ms", val: milliseconds(delay, "delay") };
  if (at !== undefined) return { tag: "at", val: at instanceof Date ? at.toISOString() : at };
  return { tag: "now" };
}

function target(to, name) {
  if (typeof to?.plugin === "string") return { tag: "plugin", val: to.plugin };
  if (typeof to?.webhook === "string") {
    return { tag: "webhook", val: { url: to.webhook, secret: to.secret ?? null, handshake: to.handshake ?? false } };
  }
  throw new TypeError(`subscription ${name} goes to nobody: add \`to: { plugin }\` or \`to: { webhook }\``);
}
