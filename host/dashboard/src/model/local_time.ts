/** Times as `<input type="datetime-local">` has them. */

import { timeText } from "./time";

/** A time in RFC 3339; undefined if the text is not a time. */
export function rfc3339Of(local: string, inUtc: boolean): string | undefined {
  const date = new Date(inUtc ? `${local}Z` : local);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** A time in RFC 3339 as the input shows it; "" if it is not a time. */
export function localOf(timestamp: string | undefined, inUtc: boolean): string {
  if (timestamp === undefined || Number.isNaN(Date.parse(timestamp))) {
    return "";
  }
  return timeText(timestamp, inUtc).replace(" ", "T").slice(0, 19);
}
