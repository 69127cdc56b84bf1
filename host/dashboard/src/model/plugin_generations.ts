/** The errors of a plugin's generations, from the aggregates of whole minutes. */

import type { Schemas } from "../api/client";
import { MINUTE, countOf, minuteOf, type Minute } from "./minutes";

/** The longest time of which the errors are shown. */
const HOUR = 60 * MINUTE;

/** A time in whole minutes, in milliseconds since 1970. The end is not part of it. */
export interface Span {
  from: number;
  to: number;
}

/** A generation, and the whole minutes in which no other one ran. */
export interface GenerationSpans {
  generation: Schemas["GenerationView"];
  /** The first hour, or less if it ran less; null if it ran in no whole minute. */
  first: Span | null;
  /** The last hour that has ended, or less. */
  last: Span | null;
}

/** The generations, the newest first, with their hours. */
export function spansOf(generations: Schemas["GenerationView"][], now: number): GenerationSpans[] {
  const ordered = [...generations].sort((first, second) => Date.parse(first.since) - Date.parse(second.since));
  const spans = ordered.map((generation, index): GenerationSpans => {
    const next = ordered[index + 1];
    const from = minuteOf(Date.parse(generation.since) + MINUTE - 1);
    const to = minuteOf(next === undefined ? now : Date.parse(next.since));
    if (to <= from) {
      return { generation, first: null, last: null };
    }
    const [early, late] = [Math.min(to, from + HOUR), Math.max(from, to - HOUR)];
    return { generation, first: { from, to: early }, last: { from: late, to } };
  });
  return spans.reverse();
}

/** The failures of a time: attempts that are retried or dead, and requests with a status from 500. */
export function errorsIn(minutes: Minute[]): { failures: number; total: number } {
  return minutes.reduce(
    (sum, minute) => ({
      failures: sum.failures + minute.retried + minute.failed,
      total: sum.total + countOf(minute),
    }),
    { failures: 0, total: 0 },
  );
}
