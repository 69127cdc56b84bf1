// Converts UTF-8 and JSON to and from bytes, with TextEncoder and TextDecoder if the engine has them.

import { writeJson } from "./json.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";

/** Converts a text to UTF-8. */
export function encode(text) {
  return typeof TextEncoder === "function" ? new TextEncoder().encode(text) : encodeUtf8(text);
}

/** Converts UTF-8 to a text. Bytes that are not UTF-8 are a TypeError. */
export function decode(bytes) {
  if (typeof TextDecoder === "function") return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const text = decodeUtf8(bytes, true);
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** Converts a value to JSON in bytes. */
export function encodeJson(value, what) {
  return encode(jsonText(value, what));
}

/**
 * Converts a value to JSON. Lone surrogates become U+FFFD: other languages cannot read their escapes (RFC 7493, 2.1).
 */
export function jsonText(value, what) {
  const text = writeJson(value, what);
  if (!text.includes("\\ud")) return text;
  // `stringify` escapes lone surrogates only. A backslash is escaped separately.
  return text.replaceAll(/\\(?:u[0-9a-f]{4}|.)/g, (escape) => (/^\\ud[89a-f]/.test(escape) ? "\ufffd" : escape));
}

/** Parses JSON in bytes. */
export function decodeJson(bytes) {
  return JSON.parse(decode(bytes));
}

/** Whether a media type is JSON or a format based on JSON (CloudEvents JSON format, section 3.1.1). */
export function isJson(mediaType) {
  return /^[^/]+\/(?:json$|.*\+json$)/.test(essence(mediaType));
}

/** Whether a media type is text in UTF-8. */
export function isText(mediaType) {
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(mediaType)?.[1].toLowerCase();
  return essence(mediaType).startsWith("text/") && [undefined, "utf-8", "utf8", "us-ascii"].includes(charset);
}

function essence(mediaType) {
  return mediaType.split(";")[0].trim().toLowerCase();
}
