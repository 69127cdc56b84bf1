// HTTP headers: a field may come more than once (RFC 9110, section 5.3), and Set-Cookie must (RFC 6265, section 3).

import { identifier, wellFormed } from "./fit.js";

/** The fields that are sent, with names in lower case. A list is as many fields, and what has no value is left out. */
export function fields(headers = {}) {
  const given = typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers);
  return given.flatMap(([name, value]) => {
    const lower = identifier(name, "the name of a header").toLowerCase();
    const values = Array.isArray(value) ? value : [value];
    return values.filter((each) => each !== undefined && each !== null).map((each) => [lower, line(lower, each)]);
  });
}

/** The value of a field. One with a line break would be two fields, or none. */
function line(name, value) {
  const text = wellFormed(String(value));
  if (/[\r\n\0]/.test(text)) throw new TypeError(`the header \`${name}\` has a line break or NUL in its value`);
  return text;
}

/** Received fields by their names. Those that come more than once are joined, cookies as RFC 9113, 8.2.3 says. */
export function joined(received) {
  const all = {};
  for (const [name, value] of received) {
    const separator = name === "cookie" ? "; " : ", ";
    all[name] = Object.hasOwn(all, name) ? `${all[name]}${separator}${value}` : value;
  }
  return all;
}

/** The values of the fields with a name, one by one. */
export function values(received, name) {
  const lower = name.toLowerCase();
  return received.filter(([other]) => other === lower).map(([, value]) => value);
}
