// Values as JSON. What JSON has not is refused with its place, where `JSON.stringify` would make something else of it
// without a word: `null` of NaN, `{}` of a Map, and nothing of a function.

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
 * A value's JSON. A field that is undefined is left out, as everywhere in JavaScript; what else JSON has not is a TypeError
 * that says where it is.
 */
export function writeJson(value, what) {
  let isTop = true;
  const text = attempt(value, what, function (key, each) {
    const odd = isTop && each === undefined ? "undefined" : misfit(each, this, key);
    isTop = false;
    if (odd !== null) throw new Misfit(odd, this, key);
    return each;
  });
  return text;
}

class Misfit extends Error {
  constructor(odd, holder, key) {
    super(odd);
    Object.assign(this, { holder, key });
  }
}

function attempt(value, what, replacer) {
  try {
    return JSON.stringify(value, replacer);
  } catch (error) {
    if (error instanceof Misfit) {
      const path = pathTo(value, error.holder);
      // The holder of the value itself is an object of JSON.stringify's own.
      throw refused(what, path === null ? "" : `${path}${pointer(error.key)}`, error.message);
    }
    const path = error instanceof TypeError ? cycleIn(value) : null;
    if (path === null) throw error;
    throw refused(what, path, "an object that contains itself");
  }
}

function refused(what, path, odd) {
  const at = path === "" ? "" : ` at ${path}`;
  return new TypeError(`${what} cannot be written as JSON${at}: it is ${odd}${HINTS[odd] ?? ""}`);
}

/** What is wrong with a value for JSON; null if nothing is. */
function misfit(value, holder, key) {
  if (typeof value === "string" || typeof value === "boolean" || value === null) {
    // What a date writes of itself is null where it is no date.
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

/** The pointer (RFC 6901) to an object within a value; null if it is not there. */
function pathTo(value, wanted, seen = new Set()) {
  if (value === wanted) return "";
  if (value === null || typeof value !== "object" || seen.has(value)) return null;
  seen.add(value);
  for (const [key, each] of Object.entries(value)) {
    const path = pathTo(each, wanted, seen);
    if (path !== null) return `${pointer(key)}${path}`;
  }
  return null;
}

/** The pointer to the first object that is one of those around it. */
function cycleIn(value, around = []) {
  if (value === null || typeof value !== "object") return null;
  if (around.includes(value)) return "";
  for (const [key, each] of Object.entries(value)) {
    const path = cycleIn(each, [...around, value]);
    if (path !== null) return `${pointer(key)}${path}`;
  }
  return null;
}

function pointer(key) {
  return `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
