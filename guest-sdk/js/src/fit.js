// Checks values that cross the component's boundary, where the handler's line is still known. The engine's glue code
// has no exceptions: a value that it cannot convert ends the instance.

/** A text as UTF-8 can carry it: each surrogate that stands alone is U+FFFD (WHATWG Infra, "scalar value string"). */
export function wellFormed(text) {
  return text.toWellFormed();
}

/** All texts within a value are made well-formed; bytes are left alone. */
export function carried(value) {
  if (typeof value === "string") return wellFormed(value);
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(carried);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, carried(field)]));
}

/**
 * A text that identifies something, such as a key or a type. It is never changed: two keys that differ in a lone
 * surrogate would become one.
 */
export function identifier(value, what) {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${kind(value)}`);
  if (!value.isWellFormed()) throw new TypeError(`${what} has a lone surrogate: ${JSON.stringify(value.slice(0, 80))}`);
  return value;
}

/** An identifier that has at least one character. An empty one is usually a variable that was not set. */
export function nonEmpty(value, what) {
  if (identifier(value, what) === "") throw new TypeError(`${what} must not be empty`);
  return value;
}

/** A text that may be left out. */
export function optionalText(value, what) {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${kind(value)}`);
  return wellFormed(value);
}

/** Bytes, from any view of them. */
export function bytes(value, what) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError(`${what} must be a Uint8Array, not ${kind(value)}`);
}

/** The largest numbers of the contract. Those of 64 bits end where a number stops being exact. */
export const U32 = 0xffff_ffff;
export const EXACT = Number.MAX_SAFE_INTEGER;

/** A whole number between two others; the engine's glue would wrap or round any other one. */
export function whole(value, what, least, most) {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new TypeError(`${what} must be a whole number from ${least} to ${most}, not ${shown(value)}`);
}

/** The same for one that may be left out. */
export function optionalWhole(value, what, least, most) {
  return value === undefined || value === null ? null : whole(value, what, least, most);
}

/** What a value is called in an error. */
export function kind(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}

function shown(value) {
  return typeof value === "number" || typeof value === "bigint" ? String(value) : kind(value);
}
