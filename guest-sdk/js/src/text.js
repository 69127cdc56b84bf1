// Converts UTF-8 and JSON to and from bytes, with TextEncoder and TextDecoder if the engine has them.

import { writeJson } from "./json.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";

/** A text's bytes. */
export function encode(text) {
  return typeof TextEncoder === "function" ? new TextEncoder().encode(text) : encodeUtf8(text);
}

/** The text of bytes that are UTF-8. Others are a TypeError. */
export function decode(bytes) {
  if (typeof TextDecoder === "function") return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const text = decodeUtf8(bytes, true);
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** A value's JSON in bytes. */
export function encodeJson(value, what) {
  return encode(jsonText(value, what));
}

/** A value's JSON. Lone surrogates become U+FFFD: other languages cannot read the escapes of them (RFC 7493, 2.1). */
export function jsonText(value, what) {
  const text = writeJson(value, what);
  if (!text.includes("\\ud")) return text;
  // `stringify` escapes lone surrogates only. A backslash is escaped separately.
  return text.replaceAll(/\\(?:u[0-9a-f]{4}|.)/g, (escape) => (/^\\ud[89a-f]/.test(escape) ? "\ufffd" : escape));
}

/** The value whose JSON bytes are. */
export function decodeJson(bytes) {
  return JSON.parse(decode(bytes));
}

/** Whether a media type is that of JSON: any subtype `json`, or with that suffix (CloudEvents JSON format, 3.1.1). */
export function isJson(mediaType) {
  return /^[^/]+\/(?:json$|.*\+json$)/.test(essence(mediaType));
}

/** Whether a media type is that of a text in UTF-8. */
export function isText(mediaType) {
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(mediaType)?.[1].toLowerCase();
  return essence(mediaType).startsWith("text/") && [undefined, "utf-8", "utf8", "us-ascii"].includes(charset);
}

function essence(mediaType) {
  return mediaType.split(";")[0].trim().toLowerCase();
}
