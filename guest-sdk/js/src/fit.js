// Checks values that cross the component's boundary, where the handler's line is still known. The engine's glue code
// has no exceptions: a value that it cannot convert ends the instance.

/** Makes a text valid in UTF-8: lone surrogates become U+FFFD (WHATWG Infra, "scalar value string"). */
export function wellFormed(text) {
  return text.toWellFormed();
}

/** Makes all texts in a value well-formed. */
export function carried(value) {
  if (typeof value === "string") return wellFormed(value);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(carried);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, carried(field)]));
}

/**
 * Checks a text that identifies something, such as a key or a type. Lone surrogates are refused and not replaced,
 * because replacing them could make two different keys equal.
 */
export function identifier(value, what) {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${kind(value)}`);
  if (!value.isWellFormed()) throw new TypeError(`${what} has a lone surrogate: ${JSON.stringify(value.slice(0, 80))}`);
  return value;
}

/** Checks an identifier that must not be empty. An empty one is usually a variable that was not set. */
export function nonEmpty(value, what) {
  if (identifier(value, what) === "") throw new TypeError(`${what} must not be empty`);
  return value;
}

/** Checks an optional text, and makes it well-formed. */
export function optionalText(value, what) {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${kind(value)}`);
  return wellFormed(value);
}

/** Converts any view of bytes to a Uint8Array. */
export function bytes(value, what) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError(`${what} must be a Uint8Array, not ${kind(value)}`);
}

/** The limits of the contract's integers. Those of 64 bits are limited to the range in which numbers are exact. */
export const U32 = 0xffff_ffff;
export const EXACT = Number.MAX_SAFE_INTEGER;

/** Checks an integer in a range. The engine's glue code would wrap or round other numbers. */
export function whole(value, what, least, most) {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new TypeError(`${what} must be a whole number from ${least} to ${most}, not ${shown(value)}`);
}

/** Checks an optional integer in a range. */
export function optionalWhole(value, what, least, most) {
  return value === undefined || value === null ? null : whole(value, what, least, most);
}

/** The name of a value's type, for errors. */
export function kind(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}

function shown(value) {
  return typeof value === "number" || typeof value === "bigint" ? String(value) : kind(value);
}
