/** The addresses of the pages of events and their cause trees. */

import { urlOf } from "../api/client";
import { segment } from "./paths";

/** The page of the events with an id; with a source, of the one with this source. */
export function eventPath(id: string, source?: string | null): string {
  return urlOf(`/events/${segment(id)}`, { params: { query: { source } } });
}

/** The cause tree of an event or a request. */
export function causePath(id: string, source?: string | null): string {
  return urlOf(`/causes/${segment(id)}`, { params: { query: { source } } });
}

/** The live view, with only the attempts and requests of a cause tree. */
export function followPath(correlation: string): string {
  return urlOf("/live", { params: { query: { correlation } } });
}
