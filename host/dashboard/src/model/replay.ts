/** The form of a replay. */

import type { Schemas } from "../api/client";
import { count } from "./format";

/** What a reader has entered. */
export interface ReplayDraft {
  from: "beginning" | "position" | "time";
  fromPosition: string;
  fromTime: string;
  until: "now" | "position" | "time";
  untilPosition: string;
  untilTime: string;
  perSecond: string;
  type: string;
  source: string;
  subject: string;
}

/** An empty form. */
export const EMPTY_REPLAY: ReplayDraft = {
  from: "beginning",
  fromPosition: "",
  fromTime: "",
  until: "now",
  untilPosition: "",
  untilTime: "",
  perSecond: "",
  type: "",
  source: "",
  subject: "",
};

/** A request, or what is wrong with the form. */
export type Checked<Request> = { request: Request } | { fault: string };

/** The request of a form. */
export function replayRequestOf(draft: ReplayDraft): Checked<Schemas["ReplayRequest"]> {
  try {
    const request: Schemas["ReplayRequest"] = {
      start: draft.from === "beginning" ? "beginning" : bound(draft.from, draft.fromPosition, draft.fromTime, "start"),
    };
    if (draft.until !== "now") {
      request.until = bound(draft.until, draft.untilPosition, draft.untilTime, "end");
    }
    if (draft.perSecond.trim() !== "") {
      request.per_second = wholeNumber(draft.perSecond, "The rate");
    }
    const only = Object.entries({ type: draft.type, source: draft.source, subject: draft.subject })
      .map(([name, value]) => [name, value.trim()])
      .filter(([, value]) => value !== "");
    if (only.length > 0) {
      // Conditions that are left out select everything.
      request.only = Object.fromEntries(only) as Schemas["EventSelection"];
    }
    return { request };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function bound(kind: "position" | "time", position: string, time: string, name: string) {
  if (kind === "position") {
    return { position: wholeNumber(position, `The position of the ${name}`) };
  }
  return { time: timestampOf(time, name) };
}

/** A time that a reader has entered in their own zone, in RFC 3339. */
export function timestampOf(local: string, name: string): string {
  const date = new Date(local);
  if (local === "" || Number.isNaN(date.getTime())) {
    throw new Error(`The time of the ${name} is missing.`);
  }
  return date.toISOString();
}

/** A whole number from 1. */
export function wholeNumber(text: string, name: string): number {
  const value = Number(text.trim());
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 1) {
    throw new Error(`${name} is not a whole number from 1.`);
  }
  return value;
}

/** What a replay delivers, as far as it is known before it starts. `cursor` is that of the subscription. */
export function replayEffect(id: string, { start, until, only, per_second }: Schemas["ReplayRequest"], cursor: number): string {
  const from =
    start === "beginning"
      ? "from the beginning of the log"
      : "position" in start
        ? `from position ${count(start.position)}`
        : `stored since ${start.time}`;
  const last = until != null && "position" in until ? Math.min(until.position, cursor) : cursor;
  const to = until != null && "time" in until ? `stored before ${until.time}` : `up to position ${count(last)}`;
  const first = typeof start === "object" && "position" in start ? start.position : 1;
  const most = Math.max(0, last - first + 1);
  const which = only == null ? "events" : "matching events";
  const rate = per_second == null ? "" : ` It makes at most ${count(per_second)} deliveries per second.`;
  return `Delivers ${which} ${from} ${to} to ${id} again, at most ${count(most)}. Handlers run again, with all their effects.${rate}`;
}
