/** Filters of subscriptions (CloudEvents Subscriptions API), and which subscriptions an event goes to. */

import type { Schemas } from "../api/client";
import { matches } from "./pattern";

type Filter = Schemas["Filter"];
type Subscription = Schemas["SubscriptionView"];

/** The attributes of an event as text. Null for one that only the host knows, such as the time. */
export type Attributes = Record<string, string | null>;

/** Whether an event passes a filter; null if that depends on an attribute that only the host knows. */
export function passes(filter: Filter, attributes: Attributes): boolean | null {
  const [dialect, operand] = Object.entries(filter)[0] ?? [];
  switch (dialect) {
    case "exact":
      return each(operand, attributes, (found, value) => found === value);
    case "prefix":
      return each(operand, attributes, (found, value) => found.startsWith(value));
    case "suffix":
      return each(operand, attributes, (found, value) => found.endsWith(value));
    case "all":
      return all((operand as Filter[]).map((inner) => passes(inner, attributes)));
    case "any": {
      const none = all((operand as Filter[]).map((inner) => not(passes(inner, attributes))));
      return not(none);
    }
    case "not":
      return not(passes(operand as Filter, attributes));
    default:
      // A dialect of a later version.
      return null;
  }
}

function each(
  operand: unknown,
  attributes: Attributes,
  compare: (found: string, value: string) => boolean,
): boolean | null {
  const wanted = Object.entries(operand as Record<string, string>);
  return all(
    wanted.map(([name, value]) => {
      const found = attributes[name];
      return found === undefined ? false : found === null ? null : compare(found, value);
    }),
  );
}

function all(results: (boolean | null)[]): boolean | null {
  return results.includes(false) ? false : results.includes(null) ? null : true;
}

function not(result: boolean | null): boolean | null {
  return result === null ? null : !result;
}

/** The subscriptions that an event goes to. */
export interface Receivers {
  certain: Subscription[];
  /** Those whose filters depend on attributes that only the host knows. */
  possible: Subscription[];
}

/** The subscriptions that get an event, without replays. */
export function receiversOf(subscriptions: Subscription[], attributes: Attributes & { type: string }): Receivers {
  const receivers: Receivers = { certain: [], possible: [] };
  for (const subscription of subscriptions) {
    if (subscription.replay !== null || !matches(subscription.pattern, attributes.type)) {
      continue;
    }
    const result = all(subscription.filters.map((filter) => passes(filter, attributes)));
    if (result !== false) {
      receivers[result === true ? "certain" : "possible"].push(subscription);
    }
  }
  return receivers;
}

/** The attributes of a stored event as the host compares them. */
export function attributesOf(event: Schemas["EventDocument"]): Attributes & { type: string } {
  const attributes: Attributes & { type: string } = { type: event.type };
  for (const [name, value] of Object.entries(event)) {
    if (name !== "data" && name !== "data_base64" && value !== undefined && value !== null) {
      attributes[name] = String(value);
    }
  }
  return attributes;
}
