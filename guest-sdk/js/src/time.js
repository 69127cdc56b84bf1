// Parses times (RFC 3339, section 5.6) as strictly as the host does.

const FORM =
  /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
const DAY = 86_400_000;

/**
 * Parses a time in RFC 3339 to milliseconds since 1970; undefined if it is malformed. A leap second is valid at the end
 * of a month in UTC, and becomes the next second.
 */
export function parseTime(text) {
  // `$` also matches before a line break at the end.
  const found = text.endsWith("\n") ? null : FORM.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const leapYear = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, leapYear ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
  if (days === undefined || day < 1 || day > days || hour > 23 || minute > 59 || second > 60) return undefined;
  const offset = found[8] === undefined ? 0 : Number(`${found[8]}1`) * (Number(found[9]) * 60 + Number(found[10]));
  // Date.UTC would map the years 0 to 99 to the 20th century.
  const midnight = new Date(0).setUTCFullYear(year, month - 1, day);
  const time = midnight + ((hour * 60 + minute - offset) * 60 + second) * 1000;
  if (second === 60 && (time % DAY !== 0 || new Date(time).getUTCDate() !== 1)) return undefined;
  return time + Number((found[7] ?? "").slice(0, 3).padEnd(3, "0"));
}
