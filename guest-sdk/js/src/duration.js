// Durations in options: milliseconds, or a text such as "500ms", "5s", "2m", "1h", "7d".

import { EXACT } from "./fit.js";

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A length of time in whole milliseconds; null if none is given. */
export function milliseconds(length, what) {
  if (length === undefined || length === null) return null;
  const value = typeof length === "string" ? parse(length) : length;
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw new TypeError(
      `${what}: ${JSON.stringify(length)} is no length of time; write milliseconds or a text such as "5s"`,
    );
  }
  const whole = Math.round(value);
  if (whole > EXACT) throw new TypeError(`${what}: ${JSON.stringify(length)} is too long`);
  return whole;
}

function parse(text) {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  return match === null ? NaN : Number(match[1]) * UNITS[match[2]];
}
