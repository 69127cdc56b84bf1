/** Aggregates of minutes as lines over time. */

import type { Schemas } from "../api/client";

/** What a subject did in a minute. */
export type Minute = Schemas["MinuteView"];

/** The length of a minute, in milliseconds. */
export const MINUTE = 60_000;

/** What the charts are about: everything, a plugin, a plugin's routes, or a subscription. */
export interface Selection {
  plugin?: string;
  /** Only the plugin's routes. */
  isRoutes?: boolean;
  /** `OWNER/NAME`. */
  subscription?: string;
}

/** The values of each minute of a time. */
export interface Series {
  /** The beginnings of the minutes, in milliseconds since 1970. */
  times: number[];
  succeeded: number[];
  retried: number[];
  failed: number[];
  /** At the end of the minute; the sum of the subscriptions. */
  backlog: number[];
  run: Percentiles;
  wait: Percentiles;
  latency: Percentiles;
  /** The number of subjects that did something. If there are more than one, percentiles are those of the slowest. */
  subjects: number;
}

/** Percentiles in microseconds. Null in minutes without attempts and requests. */
export interface Percentiles {
  p50: (number | null)[];
  p95: (number | null)[];
  p99: (number | null)[];
}

/** The beginning of the minute of a time. */
export function minuteOf(time: number): number {
  return Math.floor(time / MINUTE) * MINUTE;
}

/** A subject as a text that identifies it. */
export function subjectOf(entry: { plugin: string; subscription: string | null }): string {
  return entry.subscription ?? `${entry.plugin} routes`;
}

/** Whether a subject belongs to a selection. */
export function isSelected(entry: { plugin: string; subscription: string | null }, selection: Selection): boolean {
  const { plugin, isRoutes, subscription } = selection;
  if (subscription !== undefined) {
    return entry.subscription === subscription;
  }
  return (plugin === undefined || entry.plugin === plugin) && (isRoutes !== true || entry.subscription === null);
}

/** Adds entries that have been read later, in order of time. They replace those of the same subject and minute. */
export function merge(known: Minute[], later: Minute[]): Minute[] {
  const keyOf = (minute: Minute) => `${minute.at} ${subjectOf(minute)}`;
  const replaced = new Set(later.map(keyOf));
  const all = [...known.filter((minute) => !replaced.has(keyOf(minute))), ...later];
  return all.sort((first, second) => Date.parse(first.at) - Date.parse(second.at));
}

/**
 * The lines of a time, from the minute of `from` to before the minute of `to`.
 *
 * A subject without an entry did nothing in that minute, and had no backlog. The API has no percentiles of several
 * subjects together, so the lines have the largest one of each minute.
 */
export function seriesOf(minutes: Minute[], selection: Selection, from: number, to: number): Series {
  const first = minuteOf(from);
  const length = Math.max(0, Math.round((minuteOf(to) - first) / MINUTE));
  const zeros = () => new Array<number>(length).fill(0);
  const series: Series = {
    times: Array.from({ length }, (_, index) => first + index * MINUTE),
    succeeded: zeros(),
    retried: zeros(),
    failed: zeros(),
    backlog: zeros(),
    run: percentiles(length),
    wait: percentiles(length),
    latency: percentiles(length),
    subjects: 0,
  };
  const subjects = new Set<string>();
  for (const minute of minutes) {
    const index = Math.round((Date.parse(minute.at) - first) / MINUTE);
    if (index >= 0 && index < length && isSelected(minute, selection)) {
      add(series, index, minute);
      if (countOf(minute) > 0) {
        subjects.add(subjectOf(minute));
      }
    }
  }
  return { ...series, subjects: subjects.size };
}

/** Whether nothing happened, and nothing was pending. */
export function isIdle(series: Series): boolean {
  return series.subjects === 0 && series.backlog.every((backlog) => backlog === 0);
}

/** The number of attempts or requests. */
export function countOf(entry: { succeeded: number; retried: number; failed: number }): number {
  return entry.succeeded + entry.retried + entry.failed;
}

function percentiles(length: number): Percentiles {
  const nulls = () => new Array<number | null>(length).fill(null);
  return { p50: nulls(), p95: nulls(), p99: nulls() };
}

function add(series: Series, index: number, minute: Minute): void {
  const raise = (values: number[], by: number) => (values[index] = (values[index] ?? 0) + by);
  raise(series.succeeded, minute.succeeded);
  raise(series.retried, minute.retried);
  raise(series.failed, minute.failed);
  raise(series.backlog, minute.backlog ?? 0);
  if (countOf(minute) > 0) {
    for (const kind of ["run", "wait", "latency"] as const) {
      const slowest = (values: (number | null)[], value: number) =>
        (values[index] = Math.max(values[index] ?? 0, value));
      slowest(series[kind].p50, minute[kind].p50_us);
      slowest(series[kind].p95, minute[kind].p95_us);
      slowest(series[kind].p99, minute[kind].p99_us);
    }
  }
}
