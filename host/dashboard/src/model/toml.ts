/** Writes TOML 1.0. */

import { isExactNumber } from "./exact_json";

const LARGEST = 2n ** 63n - 1n;
const SMALLEST = -(2n ** 63n);

/** A value of JSON in TOML, in one line. Null if TOML cannot express it, such as `null` or an integer beyond 64 bits. */
export function tomlOf(value: unknown): string | null {
  if (typeof value === "string") {
    return tomlText(value);
  }
  if (typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "number" || isExactNumber(value)) {
    return tomlNumber(JSON.stringify(value));
  }
  if (Array.isArray(value)) {
    const items = value.map(tomlOf);
    return items.includes(null) ? null : `[${items.join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([name, member]) => {
      const text = tomlOf(member);
      return text === null ? null : `${tomlKey(name)} = ${text}`;
    });
    return members.includes(null) ? null : members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
  }
  return null;
}

/** A text in TOML. JSON has the same escapes, but allows the character DEL. */
function tomlText(text: string): string {
  return JSON.stringify(text).replaceAll("\u007f", String.raw`\u007f`);
}

function tomlKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : tomlText(name);
}

function tomlNumber(text: string): string | null {
  if (/^-?\d+$/.test(text)) {
    const integer = BigInt(text);
    return integer >= SMALLEST && integer <= LARGEST ? text : null;
  }
  return Number.isFinite(Number(text)) ? text : null;
}
