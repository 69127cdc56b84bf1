/** The form of a subscription of the operator. */

import type { Schemas } from "../api/client";
import { timestampOf, wholeNumber, type Checked } from "./replay";

type Rules = Schemas["SubscriptionRules"];
type Request = Schemas["SubscriptionRequest"];

/** What a reader has entered, as text. An empty text stands for the default. */
export interface SubscriptionDraft {
  name: string;
  pattern: string;
  filters: string;
  orderingKey: string;
  target: "webhook" | "plugin";
  plugin: string;
  url: string;
  secret: string;
  handshake: boolean;
  start: "now" | "beginning" | "position" | "time";
  startPosition: string;
  startTime: string;
  concurrency: string;
  timeout: string;
  maxAttempts: string;
  initialDelay: string;
  maxDelay: string;
  multiplier: string;
  jitter: string;
  nonRetryable: string;
  policy: "" | Schemas["DeadLetterPolicyView"];
  maxBacklog: string;
}

/** An empty form. */
export const EMPTY_DRAFT: SubscriptionDraft = {
  name: "",
  pattern: "",
  filters: "",
  orderingKey: "",
  target: "webhook",
  plugin: "",
  url: "",
  secret: "",
  handshake: false,
  start: "now",
  startPosition: "",
  startTime: "",
  concurrency: "",
  timeout: "",
  maxAttempts: "",
  initialDelay: "",
  maxDelay: "",
  multiplier: "",
  jitter: "",
  nonRetryable: "",
  policy: "",
  maxBacklog: "",
};

/** The causes of failure that a retry policy may exclude. */
export const RETRIABLE: readonly Schemas["RetriableCause"][] = [
  "retry",
  "exception",
  "request",
  "trap",
  "timeout",
  "out-of-memory",
  "webhook",
];

/** The form of a subscription that exists. */
export function draftOf(name: string, rules: Rules): SubscriptionDraft {
  const { target, retry } = rules;
  return {
    ...EMPTY_DRAFT,
    name,
    pattern: rules.pattern,
    filters: rules.filters.length === 0 ? "" : JSON.stringify(rules.filters, null, 2),
    orderingKey: rules.ordering_key ?? "",
    target: "plugin" in target ? "plugin" : "webhook",
    plugin: "plugin" in target ? target.plugin : "",
    url: "plugin" in target ? "" : target.webhook,
    handshake: "plugin" in target ? false : target.handshake,
    concurrency: String(rules.concurrency),
    timeout: rules.timeout,
    maxAttempts: String(retry.max_attempts),
    initialDelay: retry.initial_delay,
    maxDelay: retry.max_delay,
    multiplier: String(retry.backoff_multiplier),
    jitter: String(retry.jitter),
    nonRetryable: retry.non_retryable.join(", "),
    policy: rules.dead_letter_policy,
    maxBacklog: rules.max_backlog === null ? "" : String(rules.max_backlog),
  };
}

/** The request of a form. `before` is the form of the subscription that exists; only changes are sent. */
export function subscriptionRequestOf(draft: SubscriptionDraft, before: SubscriptionDraft | null): Checked<Request> {
  try {
    const base = before ?? EMPTY_DRAFT;
    const isChanged = (...names: (keyof SubscriptionDraft)[]) => names.some((name) => draft[name] !== base[name]);
    const request: Request = { name: required(draft.name, "The name") };
    if (before === null || isChanged("pattern")) {
      request.pattern = required(draft.pattern, "The pattern");
    }
    if (isChanged("filters")) {
      request.filters = filtersOf(draft.filters);
    }
    if (isChanged("orderingKey")) {
      request.ordering_key = draft.orderingKey.trim() || null;
    }
    if (before === null || isChanged("target", "plugin", "url", "secret", "handshake")) {
      request.target = targetOf(draft, base, before === null || isChanged("target"));
    }
    if (before === null) {
      request.start = startOf(draft);
    }
    const rules = rulesOf(draft, isChanged);
    if (Object.keys(rules).length > 0) {
      // Rules that are left out keep their value.
      request.rules = rules as Schemas["RuleOverrides"];
    }
    return { request };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function required(text: string, name: string): string {
  if (text.trim() === "") {
    throw new Error(`${name} is missing.`);
  }
  return text.trim();
}

function filtersOf(text: string): Schemas["Filter"][] {
  let filters: unknown;
  try {
    filters = text.trim() === "" ? [] : JSON.parse(text);
  } catch (error) {
    throw new Error(`The filters are not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(filters)) {
    throw new Error("The filters are not a JSON array.");
  }
  return filters as Schemas["Filter"][];
}

function targetOf(draft: SubscriptionDraft, base: SubscriptionDraft, isNew: boolean): Schemas["TargetRequest"] {
  if (draft.target === "plugin") {
    return { plugin: required(draft.plugin, "The plugin") };
  }
  const webhook: Partial<Schemas["WebhookRequest"]> = {};
  if (isNew || draft.url !== base.url) {
    webhook.url = required(draft.url, "The URL");
  }
  if (draft.secret.trim() !== "") {
    webhook.secret = draft.secret.trim();
  }
  if (draft.handshake !== base.handshake) {
    webhook.handshake = draft.handshake;
  }
  // Members that are left out keep their value.
  return { webhook: webhook as Schemas["WebhookRequest"] };
}

function startOf({ start, startPosition, startTime }: SubscriptionDraft): Schemas["Start"] {
  switch (start) {
    case "position":
      return { position: wholeNumber(startPosition, "The position of the start") };
    case "time":
      return { time: timestampOf(startTime, "start") };
    default:
      return start;
  }
}

function rulesOf(
  draft: SubscriptionDraft,
  isChanged: (name: keyof SubscriptionDraft) => boolean,
): Partial<Schemas["RuleOverrides"]> {
  const rules: Partial<Schemas["RuleOverrides"]> = {};
  const take = (name: keyof SubscriptionDraft, set: () => void) => {
    // An empty list of causes is a value. Other empty fields have the default, or keep their value.
    if (isChanged(name) && (draft[name] !== "" || name === "nonRetryable")) {
      set();
    }
  };
  take("concurrency", () => (rules.concurrency = wholeNumber(draft.concurrency, "The concurrency")));
  take("timeout", () => (rules.timeout = required(draft.timeout, "The timeout")));
  take("maxAttempts", () => (rules.max_attempts = wholeNumber(draft.maxAttempts, "The number of attempts")));
  take("initialDelay", () => (rules.initial_delay = required(draft.initialDelay, "The initial delay")));
  take("maxDelay", () => (rules.max_delay = required(draft.maxDelay, "The longest delay")));
  take("multiplier", () => (rules.backoff_multiplier = numberOf(draft.multiplier, "The factor", 1, 100)));
  take("jitter", () => (rules.jitter = numberOf(draft.jitter, "The random share", 0, 1)));
  take("nonRetryable", () => (rules.non_retryable = causesOf(draft.nonRetryable)));
  take("policy", () => (rules.dead_letter_policy = draft.policy === "" ? null : draft.policy));
  take("maxBacklog", () => (rules.max_backlog = wholeNumber(draft.maxBacklog, "The largest backlog")));
  return rules;
}

function numberOf(text: string, name: string, low: number, high: number): number {
  const value = Number(text.trim());
  if (text.trim() === "" || Number.isNaN(value) || value < low || value > high) {
    throw new Error(`${name} is not a number from ${low} to ${high}.`);
  }
  return value;
}

function causesOf(text: string): Schemas["RetriableCause"][] {
  const words = text.split(/[\s,]+/).filter((word) => word !== "");
  return words.map((word) => {
    const cause = RETRIABLE.find((known) => known === word);
    if (cause === undefined) {
      throw new Error(`${word} is not a cause that is retried. The causes are ${RETRIABLE.join(", ")}.`);
    }
    return cause;
  });
}
