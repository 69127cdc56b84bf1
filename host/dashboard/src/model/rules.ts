/** The rules of a subscription in words. */

import type { Schemas } from "../api/client";
import { count, counted } from "./format";

type Filter = Schemas["Filter"];
type Rules = Schemas["SubscriptionRules"];

/** What the rules of a subscription do, one sentence each. */
export function rulesInWords(rules: Rules): string[] {
  return [whichEvents(rules), order(rules), timeout(rules), retries(rules), deadLetters(rules), backlog(rules)].filter(
    (sentence) => sentence !== "",
  );
}

/** The receiver of a subscription's deliveries. */
export function targetText(target: Schemas["TargetView"]): string {
  return "plugin" in target ? `plugin ${target.plugin}` : `webhook ${target.webhook}`;
}

function whichEvents({ pattern, filters, target }: Rules): string {
  const types = /[*>]/.test(pattern) ? `events whose type matches ${pattern}` : `events of the type ${pattern}`;
  const conditions = filters.map(filterInWords).join(", and ");
  return `Delivers ${types}${conditions === "" ? "" : `, if ${conditions},`} to the ${targetText(target)}.`;
}

/** A filter in words, such as "`source` is `/shop`". */
export function filterInWords(filter: Filter): string {
  if ("all" in filter) {
    return group(filter.all, " and ");
  }
  if ("any" in filter) {
    return group(filter.any, " or ");
  }
  if ("not" in filter) {
    return `not ${group([filter.not], "")}`;
  }
  if ("exact" in filter) {
    return comparisons(filter.exact, "is");
  }
  return "prefix" in filter ? comparisons(filter.prefix, "begins with") : comparisons(filter.suffix, "ends with");
}

function group(filters: Filter[], conjunction: string): string {
  return `(${filters.map(filterInWords).join(conjunction)})`;
}

function comparisons(attributes: Record<string, string>, verb: string): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name} ${verb} “${value}”`)
    .join(" and ");
}

function order({ ordering_key, concurrency }: Rules): string {
  const most = `At most ${counted(concurrency, "delivery", "deliveries")} at the same time.`;
  return ordering_key === null ? most : `Events with the same ${ordering_key} are delivered one at a time, in order. ${most}`;
}

function timeout({ timeout }: Rules): string {
  return `An attempt fails if it takes longer than ${timeout}.`;
}

function retries({ retry }: Rules): string {
  const { max_attempts, initial_delay, max_delay, backoff_multiplier, jitter, non_retryable } = retry;
  if (max_attempts <= 1) {
    return "A failed delivery is not retried.";
  }
  const factor = backoff_multiplier === 1 ? "then each time after the same delay" : `then ${backoff_multiplier} times as long each time`;
  const random = jitter > 0 ? ` ${Math.round(jitter * 100)} % of each delay is random.` : "";
  const never = non_retryable.length > 0 ? ` Not retried: ${non_retryable.join(", ")}.` : "";
  return `A failed delivery is retried after ${initial_delay}, ${factor}, up to ${max_delay}.${random}${never}`;
}

function deadLetters({ retry, dead_letter_policy, ordering_key }: Rules): string {
  const isRetried = retry.max_attempts > 1;
  const after = `It becomes a dead letter after ${counted(retry.max_attempts, "failed attempt")}${isRetried ? ", or a failure that is not retried" : ""}.`;
  if (ordering_key === null) {
    return after;
  }
  const later = `Later events with its ${ordering_key}`;
  return `${after} ${later} ${dead_letter_policy === "park" ? "then wait" : "are then delivered"}.`;
}

function backlog({ max_backlog }: Rules): string {
  return max_backlog === null ? "" : `Publishers are rejected while its backlog is above ${count(max_backlog)}.`;
}
