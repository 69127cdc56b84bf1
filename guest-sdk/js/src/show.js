// Formats any value for people. It never throws and never runs endlessly.

import { frames } from "./stack.js";

/** The maximum length of a text. The host truncates it further. */
const CHARACTERS = 32_768;
const DEPTH = 8;
const ITEMS = 200;

/** Formats a value: strings as they are, other values like literals. */
export function show(value) {
  if (typeof value === "string") return value;
  try {
    const text = new Shown().of(value, 0);
    return text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)}…` : text;
  } catch (error) {
    return unshown(error);
  }
}

/** The text for a value that cannot be inspected. */
function unshown(error) {
  let why = "";
  try {
    why = `: ${String(error?.message ?? error)}`;
  } catch {
    // Even this may throw.
  }
  return `[a value that cannot be shown${why}]`;
}

class Shown {
  /** The objects that contain the current one. */
  #around = [];
  #length = 0;

  of(value, depth) {
    const text = this.#written(value, depth);
    this.#length += text.length;
    return text;
  }

  #written(value, depth) {
    if (value === null || value === undefined) return String(value);
    if (typeof value === "string") return JSON.stringify(value);
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[function ${String(value.name) || "(anonymous)"}]`;
    if (typeof value !== "object") return String(value);
    if (this.#around.includes(value)) return "[circular]";
    if (depth >= DEPTH || this.#length > CHARACTERS) return Array.isArray(value) ? "[…]" : "{…}";
    this.#around.push(value);
    try {
      return this.#object(value, depth + 1);
    } catch (error) {
      return unshown(error);
    } finally {
      this.#around.pop();
    }
  }

  #object(value, depth) {
    if (value instanceof Error) return this.#error(value, depth);
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : JSON.stringify(value);
    if (value instanceof RegExp) return String(value);
    if (value instanceof Map) return `Map ${this.#fields([...value.entries()], depth)}`;
    if (value instanceof Set) return `Set ${this.#items([...value], depth)}`;
    if (ArrayBuffer.isView(value) && !(value instanceof DataView))
      return `${value.constructor.name} ${this.#items(value, depth)}`;
    if (Array.isArray(value)) return this.#items(value, depth);
    if (typeof value.toJSON === "function") return this.of(value.toJSON(), depth);
    const tag = Object.prototype.toString.call(value).slice(8, -1);
    const fields = this.#fields(Object.keys(value).map((name) => [name, field(value, name)]), depth);
    return tag === "Object" ? fields : `${tag} ${fields}`;
  }

  #error(error, depth) {
    const lines = [`${String(error.name)}: ${String(error.message)}`, ...frames(error).map((frame) => `    ${frame}`)];
    if (error.cause !== undefined && error.cause !== null) lines.push(`caused by ${this.of(error.cause, depth)}`);
    return lines.join("\n");
  }

  #items(items, depth) {
    const shown = Array.from({ length: Math.min(items.length, ITEMS) }, (_, index) => this.of(items[index], depth));
    return `[${shown.join(",")}${items.length > ITEMS ? `,… ${items.length - ITEMS} more` : ""}]`;
  }

  #fields(pairs, depth) {
    const shown = pairs.slice(0, ITEMS).map(([name, value]) => {
      return `${typeof name === "string" ? JSON.stringify(name) : this.of(name, depth)}:${this.of(value, depth)}`;
    });
    return `{${shown.join(",")}${pairs.length > ITEMS ? `,… ${pairs.length - ITEMS} more` : ""}}`;
  }
}

/** A field's value; a getter may throw. */
function field(value, name) {
  try {
    return value[name];
  } catch (error) {
    return Object.create(null, { toJSON: { value: () => unshown(error) } });
  }
}
