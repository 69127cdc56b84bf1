/** Selects dead letters, and states what a change of them does. */

import { call, urlOf, type Schemas } from "../api/client";
import { count, counted } from "./format";

export type Group = Schemas["DeadLetterGroupView"];

/** The causes of failures, as the API knows them. */
export const CAUSES: readonly Schemas["Cause"][] = [
  "retry",
  "exception",
  "request",
  "rejected",
  "trap",
  "timeout",
  "out-of-memory",
  "conflict",
  "webhook",
  "no-handler",
  "hop-limit",
  "limit",
  "collision",
];

/** The statuses of groups that a reader can select. */
export const STATUSES = ["open", "resolved", "ignored", "all"] as const;

/** The groups that a page shows. */
export interface GroupFilter {
  subscription?: string;
  cause?: Schemas["Cause"];
  status: (typeof STATUSES)[number];
}

/** The filter in the query of a page's address. Values that the API does not know are left out. */
export function filterOf(get: (name: string) => string | undefined): GroupFilter {
  return {
    subscription: get("subscription"),
    cause: CAUSES.find((cause) => cause === get("cause")),
    status: STATUSES.find((status) => status === get("status")) ?? "open",
  };
}

/** The parameters that select the groups of a filter. */
export function groupQueryOf({ subscription, cause, status }: GroupFilter) {
  return { subscription, cause, status: status === "all" ? undefined : status };
}

/** The parameters of one call that redrives or drops. */
export interface Selection {
  all?: boolean;
  number?: number;
  subscription?: string;
  cause?: Schemas["Cause"];
  like?: number;
  /** The number that the reader has agreed to. Dead letters that arrive in the meantime are left alone. */
  limit?: number;
}

/** What a change of dead letters affects. */
export interface Plan {
  count: number;
  /** The subscriptions, sorted. */
  subscriptions: string[];
  /** The calls that make the change, in order. */
  calls: Selection[];
}

/**
 * Plans a change of all dead letters that match a filter.
 *
 * `groups` are those of the subscription and the cause, whatever their status. If all of them have the status, one call
 * makes the change in the order of the events. The API cannot select by status, so otherwise each group is one call.
 */
export function planOf(groups: Group[], { subscription, cause, status }: GroupFilter): Plan {
  const chosen = groups.filter((group) => status === "all" || group.status === status);
  const total = chosen.reduce((sum, group) => sum + group.count, 0);
  const whole: Selection =
    subscription === undefined && cause === undefined
      ? { all: true, limit: total }
      : { subscription, cause, limit: total };
  const calls =
    chosen.length === groups.length ? [whole] : chosen.map(({ sample, count }) => ({ like: sample, limit: count }));
  return {
    count: total,
    subscriptions: [...new Set(chosen.map((group) => group.subscription))].sort(),
    calls: total === 0 ? [] : calls,
  };
}

/** The plan for one group. */
export function groupPlanOf({ sample, count, subscription }: Group): Plan {
  return { count, subscriptions: [subscription], calls: [{ like: sample, limit: count }] };
}

/** The plan for one dead letter. */
export function letterPlanOf(letter: { number: number; subscription: string }): Plan {
  return { count: 1, subscriptions: [letter.subscription], calls: [{ number: letter.number }] };
}

/** What a plan affects, such as `1,204 dead letters of 3 subscriptions`. */
export function extentOf({ count, subscriptions }: Plan): string {
  const [only] = subscriptions;
  const of = subscriptions.length === 1 && only !== undefined ? only : counted(subscriptions.length, "subscription");
  return `${counted(count, "dead letter")} of ${of}`;
}

/** The API calls of a plan as text: the first one, and how many more there are. */
export function callsText(method: "POST" | "DELETE", { calls }: Plan): string {
  const path = method === "POST" ? "/v1/dead-letters/redrive" : "/v1/dead-letters";
  const first = `${method} ${urlOf(path, { params: { query: calls[0] } })}`;
  return calls.length > 1 ? `${first}, and ${counted(calls.length - 1, "more call")}, one for each group` : first;
}

/** Makes the calls of a plan. A group that is gone in the meantime counts 0. Returns the number of dead letters. */
export async function execute(
  { calls }: Plan,
  make: (selection: Selection) => Promise<number>,
  progress: (done: number) => void,
): Promise<number> {
  let done = 0;
  for (const selection of calls) {
    try {
      done += await make(selection);
    } catch (error) {
      const isGone = calls.length > 1 && (error as { status?: number }).status === 404;
      if (!isGone) {
        throw error;
      }
    }
    progress(done);
  }
  return done;
}

/** Redrives. Returns the number of dead letters. */
export async function redrive(query: Selection): Promise<number> {
  return (await call("post", "/v1/dead-letters/redrive", { params: { query } })).redriven;
}

/** Drops. Returns the number of dead letters. */
export async function drop(query: Selection): Promise<number> {
  return (await call("delete", "/v1/dead-letters", { params: { query } })).dropped;
}

/** All groups of a subscription and a cause, from all pages of the list. */
export async function readGroups(query: Pick<GroupFilter, "subscription" | "cause">): Promise<Group[]> {
  const { subscription, cause } = query;
  const groups: Group[] = [];
  let after: string | undefined;
  do {
    const page = await call("get", "/v1/dead-letters/groups", {
      params: { query: { subscription, cause, limit: 1_000, after } },
    });
    groups.push(...page.groups);
    after = page.next ?? undefined;
  } while (after !== undefined);
  return groups;
}

/**
 * The group of a dead letter. Null if the dead letter is gone.
 *
 * The API finds groups by their newest dead letter, which changes when another one joins. So the groups of the same
 * component are asked whether they contain this one.
 */
export async function readGroupOf(number: number): Promise<Group | null> {
  const page = await call("get", "/v1/dead-letters", { params: { query: { number } } });
  const letter = page.dead_letters[0];
  if (letter === undefined) {
    return null;
  }
  const { subscription, history } = letter;
  const cause = CAUSES.find((known) => known === letter.cause);
  const groups = await readGroups({ subscription, cause });
  const known = groups.find((group) => group.sample === number);
  if (known !== undefined) {
    return known;
  }
  const digest = history.at(-1)?.digest ?? null;
  for (const group of groups.filter((candidate) => candidate.digest === digest)) {
    const query = { like: group.sample, number };
    const found = await call("get", "/v1/dead-letters", { params: { query } });
    if (found.dead_letters.length > 0) {
      return group;
    }
  }
  return null;
}

/** How far a change is, such as `500 of 1,204 done`. */
export function progressText(done: number, all: number): string {
  return `${count(done)} of ${count(all)} done`;
}
