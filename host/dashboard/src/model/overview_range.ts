/** The time that the overview shows. */

import { MINUTE, minuteOf } from "./minutes";

/** The ranges that end now, by their names in the address. */
export const RANGES: [name: string, label: string, minutes: number][] = [
  ["15m", "15 min", 15],
  ["1h", "1 h", 60],
  ["6h", "6 h", 360],
  ["24h", "24 h", 1_440],
];

/** The range without a choice. */
export const DEFAULT_RANGE = "1h";

/** A time in whole minutes, in milliseconds since 1970. */
export interface Range {
  from: number;
  /** The end: the first minute that is not part of it. */
  to: number;
  /** The name of a range that ends now; null for a chosen time. */
  name: string | null;
}

/** The time of a page's address. An invalid one is that of the default. */
export function rangeOf(query: { range?: string; from?: string; to?: string }, now: number): Range {
  const from = Date.parse(query.from ?? "");
  const to = Date.parse(query.to ?? "");
  if (from < to) {
    return { from: minuteOf(from), to: Math.max(minuteOf(to), minuteOf(from) + MINUTE), name: null };
  }
  const known = RANGES.find(([name]) => name === query.range) ?? RANGES.find(([name]) => name === DEFAULT_RANGE);
  const [name, , minutes] = known ?? [DEFAULT_RANGE, "", 60];
  const end = minuteOf(now);
  return { from: end - minutes * MINUTE, to: end, name };
}

/** The whole minutes around a time that the reader has selected in a chart, for the address. */
export function zoomed(from: number, to: number): { from: string; to: string } {
  const first = minuteOf(from);
  const end = Math.max(minuteOf(to + MINUTE - 1), first + MINUTE);
  return { from: new Date(first).toISOString(), to: new Date(end).toISOString() };
}

/** A time as the value of an input for a local time, or for one in UTC. */
export function inputOf(time: number, inUtc: boolean): string {
  const offset = inUtc ? 0 : new Date(time).getTimezoneOffset() * MINUTE;
  return new Date(time - offset).toISOString().slice(0, 16);
}

/** The time of such an input; NaN if it is not complete. */
export function timeOfInput(value: string, inUtc: boolean): number {
  return Date.parse(inUtc ? `${value}Z` : value);
}
