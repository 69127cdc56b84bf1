// HTTP headers: a field may be repeated (RFC 9110, section 5.3), and Set-Cookie must not be joined (RFC 6265, section
// 3).

import { identifier, wellFormed } from "./fit.js";

/**
 * Converts headers to the fields to send, with names in lower case. Null and undefined are omitted, lists are repeated.
 */
export function fields(headers) {
  if (headers === undefined || headers === null) return [];
  if (typeof headers !== "object")
    throw new TypeError(`headers must be an object, a Map or a list of pairs, not a ${typeof headers}`);
  const given = typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers);
  return given.flatMap((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new TypeError("each header in a list must be a pair of name and value");
    const [name, value] = pair;
    const lower = fieldName(name);
    const values = Array.isArray(value) ? value : [value];
    return values.filter((each) => each !== undefined && each !== null).map((each) => [lower, fieldValue(lower, each)]);
  });
}

/** Checks a field's name, which is a token (RFC 9110, sections 5.1 and 5.6.2). */
function fieldName(name) {
  const text = identifier(name, "the name of a header");
  if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(text)) return text.toLowerCase();
  const shown = JSON.stringify(text.slice(0, 80));
  throw new TypeError(`${shown} is not the name of a header: a name has letters, digits and hyphens`);
}

/** Checks a field's value (RFC 9110, section 5.5). A line break would end the field. */
function fieldValue(name, value) {
  if (!["string", "number", "boolean", "bigint"].includes(typeof value))
    throw new TypeError(`the header \`${name}\` must be a string, not ${value instanceof Date ? "a Date" : typeof value}`);
  const text = wellFormed(String(value));
  if (/[\r\n\0]/.test(text)) throw new TypeError(`the header \`${name}\` has a line break or NUL in its value`);
  if (/[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text))
    throw new TypeError(`the header \`${name}\` has a control character in its value`);
  return text;
}

/** Received fields by name. The values of repeated fields are joined, those of Cookie as in RFC 9113, 8.2.3. */
export function joined(received) {
  const all = {};
  for (const [name, value] of received) {
    const separator = name === "cookie" ? "; " : ", ";
    all[name] = Object.hasOwn(all, name) ? `${all[name]}${separator}${value}` : value;
  }
  return all;
}

/** The values of all fields with a name. */
export function values(received, name) {
  const lower = name.toLowerCase();
  return received.filter(([other]) => other === lower).map(([, value]) => value);
}
