// Durations in options: milliseconds, or a text such as "500ms", "5s", "2m", "1h", "7d".

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The longest: a hundred years, of 365.25 days. */
const LONGEST = 36_525 * UNITS.d;

/** Converts a duration to whole milliseconds. */
export function milliseconds(duration, what) {
  if (duration === undefined || duration === null) return null;
  const value = typeof duration === "string" ? parse(duration) : duration;
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw new TypeError(
      `${what}: ${JSON.stringify(duration)} is not a duration; write milliseconds or a text such as "5s"`,
    );
  }
  const whole = Math.round(value);
  if (whole > LONGEST) throw new TypeError(`${what}: ${JSON.stringify(duration)} is too long; at most "36525d" is allowed`);
  return whole;
}

function parse(text) {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  return match === null ? NaN : Number(match[1]) * UNITS[match[2]];
}
