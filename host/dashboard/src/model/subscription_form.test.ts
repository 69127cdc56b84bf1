import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { EMPTY_DRAFT, draftOf, subscriptionRequestOf } from "./subscription_form";

const WEBHOOK = { ...EMPTY_DRAFT, name: "billing", pattern: "order.>", url: "https://billing.example/" };

test("a new subscription sends what differs from the defaults", () => {
  expect(subscriptionRequestOf(WEBHOOK, null)).toEqual({
    request: { name: "billing", pattern: "order.>", start: "now", target: { webhook: { url: "https://billing.example/" } } },
  });
  expect(
    subscriptionRequestOf(
      { ...WEBHOOK, target: "plugin", plugin: "mailer", start: "position", startPosition: "3", maxAttempts: "2", policy: "park" },
      null,
    ),
  ).toEqual({
    request: {
      name: "billing",
      pattern: "order.>",
      start: { position: 3 },
      target: { plugin: "mailer" },
      rules: { max_attempts: 2, dead_letter_policy: "park" },
    },
  });
});

test("a change sends only what has changed", () => {
  const rules: Schemas["SubscriptionRules"] = {
    concurrency: 4,
    dead_letter_policy: "release",
    filters: [{ exact: { source: "/a" } }],
    max_backlog: null,
    ordering_key: "subject",
    pattern: "order.>",
    retry: { backoff_multiplier: 2, initial_delay: "1s", jitter: 0.1, max_attempts: 5, max_delay: "5m", non_retryable: [] },
    target: { webhook: "https://billing.example/", signed: true, handshake: false },
    timeout: "5s",
  };
  const before = draftOf("billing", rules);
  expect(subscriptionRequestOf(before, before)).toEqual({ request: { name: "billing" } });
  const changed = { ...before, orderingKey: "", filters: "", handshake: true, nonRetryable: "trap timeout" };
  expect(subscriptionRequestOf(changed, before)).toEqual({
    request: {
      name: "billing",
      ordering_key: null,
      filters: [],
      target: { webhook: { handshake: true } },
      rules: { non_retryable: ["trap", "timeout"] },
    },
  });
});

test("faults are named", () => {
  const cases: [Partial<typeof WEBHOOK>, string][] = [
    [{ name: " " }, "The name is missing."],
    [{ url: "" }, "The URL is missing."],
    [{ filters: "{}" }, "The filters are not a JSON array."],
    [{ jitter: "2" }, "The random share is not a number from 0 to 1."],
    [{ concurrency: "many" }, "The concurrency is not a whole number from 1."],
  ];
  for (const [changes, fault] of cases) {
    expect(subscriptionRequestOf({ ...WEBHOOK, ...changes }, null)).toEqual({ fault });
  }
  expect(subscriptionRequestOf({ ...WEBHOOK, nonRetryable: "magic" }, null)).toHaveProperty("fault");
});
