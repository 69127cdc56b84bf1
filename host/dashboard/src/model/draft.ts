/** An event as the reader writes it. */

import type { Schemas } from "../api/client";
import type { Attributes } from "./event_filter";
import { isHostAttribute, isReservedType } from "./event_copies";
import { parseExact } from "./exact_json";
import { isEventType } from "./pattern";

type EventDocument = Schemas["EventDocument"];

/** When an event enters the log. */
export type When = "now" | "delay" | "at";

/** The fields of the form. Empty ones are left out of the event. */
export interface Draft {
  type: string;
  source: string;
  subject: string;
  id: string;
  contentType: string;
  data: string;
  /** Extension attributes, one `NAME=VALUE` in a line. */
  attributes: string;
  when: When;
  /** A duration, such as `5m`. */
  delay: string;
  /** A time in RFC 3339. */
  at: string;
}

/** An empty form. */
export const EMPTY_DRAFT: Draft = {
  type: "",
  source: "/dashboard",
  subject: "",
  id: "",
  contentType: "application/json",
  data: "{}",
  attributes: "",
  when: "now",
  delay: "",
  at: "",
};

/** What is wrong with the fields, by their names. */
export type Faults = Partial<Record<keyof Draft, string>>;

/** What is wrong with a draft. Empty if it can be published. The host checks the rest. */
export function faultsOf(draft: Draft): Faults {
  const faults: Faults = {};
  if (!isEventType(draft.type)) {
    faults.type = draft.type === "" ? "Enter a type, such as order.placed." : "Use at most 255 bytes, and no control characters.";
  } else if (isReservedType(draft.type)) {
    faults.type = "Types that begin with schedule. or sandbus. are reserved for the host.";
  }
  if (draft.source === "") {
    faults.source = "Enter a source, such as /shop.";
  }
  if (isJson(draft.contentType) && draft.data.trim() !== "") {
    try {
      JSON.parse(draft.data);
    } catch (error) {
      faults.data = `This is not JSON: ${(error as Error).message}`;
    }
  }
  const malformed = linesOf(draft.attributes).find((line) => !/^[a-z0-9]{1,40}=/.test(line));
  if (malformed !== undefined) {
    faults.attributes = `Write NAME=VALUE, with a name of 1 to 40 lower-case letters and digits: ${malformed}`;
  }
  if (draft.when === "delay" && draft.delay.trim() === "") {
    faults.delay = "Enter a duration, such as 5m.";
  }
  if (draft.when === "at" && draft.at === "") {
    faults.at = "Enter a time.";
  }
  return faults;
}

/** The event of a draft without faults. */
export function documentOf(draft: Draft, id: string): EventDocument {
  const text = draft.data;
  const isEmpty = isJson(draft.contentType) ? text.trim() === "" : text === "";
  const data = isEmpty ? {} : { data: isJson(draft.contentType) ? parseExact(text) : text };
  return {
    specversion: "1.0",
    id: draft.id === "" ? id : draft.id,
    source: draft.source,
    type: draft.type,
    ...(draft.subject === "" ? {} : { subject: draft.subject }),
    ...(draft.contentType === "" ? {} : { datacontenttype: draft.contentType }),
    ...extensionsOf(draft),
    ...data,
  } as EventDocument;
}

/** The parameters of the call. */
export function queryOf(draft: Draft): { delay?: string; at?: string } {
  return draft.when === "delay" ? { delay: draft.delay.trim() } : draft.when === "at" ? { at: draft.at } : {};
}

/** The attributes that subscriptions select by. Null for those that only the host knows. */
export function draftAttributes(draft: Draft): Attributes & { type: string } {
  return {
    specversion: "1.0",
    id: draft.id === "" ? null : draft.id,
    source: draft.source,
    type: draft.type,
    // The host sets these.
    time: null,
    correlationid: null,
    correlationsource: null,
    ...(draft.subject === "" ? {} : { subject: draft.subject }),
    ...(draft.contentType === "" ? {} : { datacontenttype: draft.contentType }),
    ...extensionsOf(draft),
  };
}

/** A draft like an event of the log. */
export function draftLike(event: EventDocument): Draft {
  const named = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64"];
  const extensions = Object.entries(event).filter(
    ([name]) => !named.includes(name) && !isHostAttribute(name) && !name.startsWith("correlation"),
  );
  return {
    ...EMPTY_DRAFT,
    type: event.type,
    source: /^\/plugins(\/|$)/i.test(event.source) ? EMPTY_DRAFT.source : event.source,
    subject: event.subject ?? "",
    contentType: event.datacontenttype ?? (typeof event.data === "string" ? "text/plain" : "application/json"),
    data: dataText(event),
    attributes: extensions.map(([name, value]) => `${name}=${String(value)}`).join("\n"),
  };
}

function dataText(event: EventDocument): string {
  if (event.data === undefined) {
    return "";
  }
  const isText = typeof event.data === "string" && !isJson(event.datacontenttype ?? "");
  return isText ? (event.data as string) : JSON.stringify(event.data, null, 2);
}

/** Whether data of a media type is JSON (RFC 6839). */
export function isJson(contentType: string): boolean {
  const type = (contentType.split(";")[0] ?? "").trim().toLowerCase();
  return type === "" || type === "application/json" || type === "text/json" || type.endsWith("+json");
}

function extensionsOf({ attributes }: Draft): Record<string, string> {
  return Object.fromEntries(
    linesOf(attributes).map((line) => {
      const equals = line.indexOf("=");
      return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
