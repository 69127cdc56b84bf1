import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { partsOf } from "./paths";
import { isShown, reasonsOf, blockOf } from "./waiting";

const delivery = (changes: Partial<Schemas["DeliveryView"]>) =>
  ({ ahead: null, attempts: null, behind: null, blocked_by: [], cause: null, dead_letter: null, due: null, key: null, reason: null, ...changes }) as Schemas["DeliveryView"];

test("each state has a reason", () => {
  const paused = { code: "paused", detail: "paused by an operator", event: null, until: null };
  const cases: [Partial<Schemas["DeliveryView"]>, string[]][] = [
    [{ state: "not-reached", ahead: 1_204 }, ["at most 1,204 earlier events come first"]],
    [{ state: "ready" }, ["a permit"]],
    [{ state: "ready", blocked_by: [paused] }, ["paused by an operator"]],
    [{ state: "in-flight", attempts: 2 }, ["attempt 2, which runs"]],
    [{ state: "retrying", attempts: 1, cause: "trap", reason: "boom\n at x" }, ["attempt 2, after trap: boom"]],
    [{ state: "behind-key", behind: 7 }, ["the event at position 7 with the same key"]],
    [{ state: "parked", dead_letter: 3, key: "k", blocked_by: [paused] }, ["dead letter 3, which parks the key k", "paused by an operator"]],
  ];
  for (const [changes, reasons] of cases) {
    expect(reasonsOf(delivery(changes))).toEqual(reasons);
  }
});

const subscription = (changes: Partial<Schemas["SubscriptionView"]>) =>
  ({ id: "mailer/welcome", pattern: "user.*", status: "active", waits_for: null, held_back_until: null, dead_letters: 0, parked_keys: 0, ...changes }) as Schemas["SubscriptionView"];

test("a pause comes before a hold", () => {
  expect(blockOf(subscription({}))).toBeNull();
  expect(blockOf(subscription({ held_back_until: "2030-01-01T00:00:00Z" }))).toContain("on hold until");
  expect(blockOf(subscription({ waits_for: "drained", held_back_until: "2030-01-01T00:00:00Z" }))).toBe("drained");
});

test("a list shows what the reader selects", () => {
  expect(isShown(subscription({}), { text: " USER", show: "all" })).toBe(true);
  expect(isShown(subscription({}), { text: "order", show: "all" })).toBe(false);
  expect(isShown(subscription({}), { text: "", show: "problems" })).toBe(false);
  expect(isShown(subscription({ parked_keys: 1 }), { text: "", show: "problems" })).toBe(true);
  expect(isShown(subscription({ status: "paused" }), { text: "", show: "paused" })).toBe(true);
  expect(isShown(subscription({ id: "operator/a" }), { text: "", show: "operator" })).toBe(true);
  expect(partsOf("a/b/c")).toEqual({ owner: "a", name: "b/c" });
});
