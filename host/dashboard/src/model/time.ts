/** Times as text, in the zone of the reader or in UTC. */

import { signal } from "@preact/signals";

const STORED = "sandbus.utc";

/** Whether times are shown in UTC. Tests of modules have no storage. */
export const utc = signal(globalThis.localStorage?.getItem(STORED) === "true");

/** Changes the zone of all times on the page. */
export function showUtc(on: boolean): void {
  utc.value = on;
  localStorage.setItem(STORED, String(on));
}

/** The time of a host's timestamp, in milliseconds since 1970. */
export function millisOf(timestamp: string): number {
  return Date.parse(timestamp);
}

/** A time to the millisecond, such as `2026-11-28 14:03:07.120`. */
export function timeText(timestamp: string, inUtc: boolean): string {
  const date = new Date(timestamp);
  const local = new Date(date.getTime() - (inUtc ? 0 : date.getTimezoneOffset() * 60_000));
  return local.toISOString().replace("T", " ").replace("Z", "");
}

/** The name of the zone in which times are shown. */
export function zoneName(inUtc: boolean): string {
  return inUtc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** A time of the host in UTC, as its sentences have it. */
const STAMP = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;

/** A sentence of the host with its times in the chosen zone. Not for texts of plugins, which stay as they are. */
export function withTimes(sentence: string, inUtc: boolean): string {
  return sentence.replace(STAMP, (stamp) => timeText(stamp, inUtc) + (inUtc ? " UTC" : ""));
}
