import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { filterInWords, rulesInWords } from "./rules";

const RULES: Schemas["SubscriptionRules"] = {
  concurrency: 1,
  dead_letter_policy: "park",
  filters: [],
  max_backlog: null,
  ordering_key: null,
  pattern: "order.placed",
  retry: {
    backoff_multiplier: 2,
    initial_delay: "500ms",
    jitter: 0.25,
    max_attempts: 5,
    max_delay: "5m",
    non_retryable: ["rejected"],
  },
  target: { plugin: "mailer" },
  timeout: "5s",
};

test("rules are sentences", () => {
  expect(rulesInWords(RULES)).toEqual([
    "Delivers events of the type order.placed to the plugin mailer.",
    "At most 1 delivery at the same time.",
    "An attempt fails if it takes longer than 5s.",
    "A failed delivery is retried after 500ms, then 2 times as long each time, up to 5m. 25 % of each delay is random. Not retried: rejected.",
    "It becomes a dead letter after 5 failed attempts, or a failure that is not retried.",
  ]);
});

test("ordering keys, filters and limits are named", () => {
  const rules: Schemas["SubscriptionRules"] = {
    ...RULES,
    pattern: "order.>",
    ordering_key: "subject",
    filters: [{ exact: { source: "/shop" } }],
    max_backlog: 10_000,
    target: { webhook: "https://a.example/", signed: true, handshake: false },
    retry: { ...RULES.retry, max_attempts: 1 },
  };
  expect(rulesInWords(rules)).toEqual([
    "Delivers events whose type matches order.>, if source is “/shop”, to the webhook https://a.example/.",
    "Events with the same subject are delivered one at a time, in order. At most 1 delivery at the same time.",
    "An attempt fails if it takes longer than 5s.",
    "A failed delivery is not retried.",
    "It becomes a dead letter after 1 failed attempt. Later events with its subject then wait.",
    "Publishers are rejected while its backlog is above 10,000.",
  ]);
});

test("filters combine", () => {
  const filter = { any: [{ prefix: { subject: "a" } }, { not: { all: [{ suffix: { id: "z" } }, { exact: { x: "1" } }] } }] };
  expect(filterInWords(filter)).toBe("(subject begins with “a” or not ((id ends with “z” and x is “1”)))");
});
