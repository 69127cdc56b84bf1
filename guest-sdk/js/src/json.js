// Values as JSON. A value that JSON cannot represent is refused with its path, where `JSON.stringify` would silently
// change it: NaN to `null`, a Map to `{}`, a function to nothing.

import { MAX_DEPTH, TOO_DEEP } from "./json-depth.js";

/** Built-in objects whose content JSON would lose. */
const LOST = new Set([
  ...["Map", "Set", "WeakMap", "WeakSet", "WeakRef", "Promise", "RegExp", "Error", "ArrayBuffer", "SharedArrayBuffer"],
  ...["DataView", "Generator", "AsyncGenerator", "Map Iterator", "Set Iterator", "Array Iterator", "Symbol", "BigInt"],
]);

const HINTS = {
  "Map": "; write Object.fromEntries(map)",
  "Set": "; write [...set]",
  "Promise": "; `await` it",
  "Error": "; write its message",
  "a BigInt": "; write a number, or its digits as a string",
  "bytes": "; write them as text, such as base64",
};

/**
 * Converts a value to JSON. Undefined fields are omitted, as in JSON.stringify. Any other value that JSON lacks is a
 * TypeError that says where it is.
 */
export function writeJson(value, what) {
  /** The objects that contain the current value, and the key of each in its parent. */
  const around = [];
  const keys = [];
  const refused = (key, odd) => {
    const path = [...keys.slice(1), ...(key === null ? [] : [key])].map(pointer).join("");
    return new TypeError(`${what} cannot be written as JSON${path && ` at ${path}`}: it is ${odd}${HINTS[odd] ?? ""}`);
  };
  const check = function (key, each) {
    const isTop = around.length === 0;
    while (around.length > 0 && around.at(-1) !== this) {
      around.pop();
      keys.pop();
    }
    const odd = isTop && each === undefined ? "undefined" : misfit(each, this, key);
    if (odd !== null) throw refused(isTop ? null : key, odd);
    if (each !== null && typeof each === "object") {
      around.push(each);
      keys.push(key);
      if (around.length > MAX_DEPTH) throw new TypeError(`${what} cannot be written as JSON: it is ${TOO_DEEP}`);
    }
    return each;
  };
  try {
    return JSON.stringify(value, check);
  } catch (error) {
    // The engine throws when it would enter a cycle again.
    if (error instanceof TypeError && around.indexOf(around.at(-1)) < around.length - 1)
      throw refused(null, "an object that contains itself");
    throw error;
  }
}

/** The reason why JSON cannot represent a value; null if it can. */
function misfit(value, holder, key) {
  if (typeof value === "string" || typeof value === "boolean" || value === null) {
    // An invalid Date writes itself as null.
    const isInvalid = value === null && holder[key] instanceof Date;
    return isInvalid ? "an invalid Date" : null;
  }
  if (typeof value === "number") return Number.isFinite(value) ? null : String(value);
  if (value === undefined) return Array.isArray(holder) ? "undefined" : null;
  if (typeof value === "bigint") return "a BigInt";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (ArrayBuffer.isView(value)) return "bytes";
  if (Array.isArray(value)) return null;
  if (typeof value.then === "function") return "Promise";
  const tag = value instanceof Error ? "Error" : Object.prototype.toString.call(value).slice(8, -1);
  return LOST.has(tag) ? tag : null;
}

/** A key as a step of a JSON pointer (RFC 6901). */
function pointer(key) {
  return `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
