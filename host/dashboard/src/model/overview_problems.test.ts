import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import type { Minute } from "./minutes";
import { problemsOf, type Facts } from "./overview_problems";

function plugin(parts: Partial<Schemas["PluginView"]>): Schemas["PluginView"] {
  return { name: "mailer", file: "mailer.wasm", status: "running", error: null, rolled_back: null, ...parts } as Schemas["PluginView"];
}

function subscription(parts: Partial<Schemas["SubscriptionView"]>): Schemas["SubscriptionView"] {
  const healthy = {
    id: "mailer/send",
    backlog: 0,
    expired: 0,
    held_back_until: null,
    lag_seconds: null,
    parked_keys: 0,
    replay: null,
    status: "active",
    waits_for: null,
  };
  return { ...healthy, ...parts } as Schemas["SubscriptionView"];
}

function subject(parts: Partial<Schemas["SubjectView"]>): Schemas["SubjectView"] {
  return { plugin: "mailer", subscription: null, succeeded: 0, retried: 0, failed: 0, ...parts } as Schemas["SubjectView"];
}

function statistics(subjects: Schemas["SubjectView"][], ledger = {}): Schemas["StatisticsView"] {
  const available = { available: true, lost: 0, written: 0, unavailable_reason: null, unavailable_since: null };
  return { at: "2026-11-30T12:00:00Z", subjects, ledger: { ...available, ...ledger } };
}

function storage(free: number): Schemas["StorageView"] {
  return { directory: "/data", free_bytes: free, total_bytes: 1_000 } as Schemas["StorageView"];
}

function backlogs(...values: number[]): Minute[] {
  return values.map((backlog, number) => {
    const at = `2026-11-30T12:0${number}:00Z`;
    return { ...subject({ plugin: "mailer", subscription: "mailer/send", backlog }), at } as Minute;
  });
}

test("a healthy host has no problems", () => {
  const facts: Facts = {
    plugins: [plugin({}), plugin({ status: "disabled" }), plugin({ status: "removed" })],
    folderError: null,
    subscriptions: [subscription({ backlog: 5, lag_seconds: 3 })],
    groups: [],
    statistics: statistics([subject({ succeeded: 7 })]),
    storage: storage(500),
    minutes: backlogs(3, 4, 4),
  };
  expect(problemsOf(facts)).toEqual([]);
  expect(problemsOf({})).toEqual([]);
});

test("each problem says what is wrong, and leads to the page that fixes it", () => {
  const group = { sample: 7, subscription: "mailer/send", cause: "trap", count: 1_204, signature: "it broke" };
  const cases: [Facts, severity: string, title: string, href: string][] = [
    [{ plugins: [plugin({ status: "broken", error: "no" })] }, "bad", "mailer does not run", "/plugins/mailer"],
    [{ plugins: [plugin({ status: "running an older file" })] }, "bad", "mailer runs an older file", "/plugins/mailer"],
    [{ plugins: [plugin({ status: "drained" })] }, "warn", "mailer is drained", "/plugins/mailer"],
    [{ plugins: [plugin({ status: "ignored", name: null, file: "a b.wasm" })] }, "warn", "The file a b.wasm is ignored", "/plugins/a%20b"],
    [{ folderError: "gone" }, "bad", "The plugin folder cannot be read", "/plugins"],
    [{ storage: storage(50) }, "warn", "50 B of disk space are free (5 %)", "/system"],
    [{ storage: storage(10) }, "bad", "10 B of disk space are free (1 %)", "/system"],
    [{ statistics: statistics([], { available: false }) }, "bad", "The ledger cannot be written", "/system"],
    [{ statistics: statistics([], { lost: 2 }) }, "warn", "The ledger has lost 2 records since the host started", "/system"],
    [{ statistics: statistics([subject({ succeeded: 1, failed: 2 })]) }, "bad", "mailer routes: 2 of 3 requests failed in the last minute", "/plugins/mailer"],
    [{ statistics: statistics([subject({ subscription: "mailer/send", retried: 1 })]) }, "warn", "mailer/send: 1 of 1 attempt failed in the last minute", "/subscriptions/mailer/send"],
    [{ groups: [group as Schemas["DeadLetterGroupView"]] }, "bad", "1,204 dead letters of mailer/send (trap)", "/dead-letters?subscription=mailer%2Fsend"],
    [{ subscriptions: [subscription({ status: "paused", waits_for: "operator" })] }, "warn", "mailer/send does not deliver: operator", "/subscriptions/mailer/send"],
    [{ subscriptions: [subscription({ lag_seconds: 660 })] }, "bad", "mailer/send: the oldest delivery has waited for 11 min", "/subscriptions/mailer/send"],
    [{ subscriptions: [subscription({ parked_keys: 1 })] }, "bad", "mailer/send: 1 ordering key is parked behind a dead letter", "/subscriptions/mailer/send"],
    [{ subscriptions: [subscription({ expired: 2 })] }, "bad", "mailer/send: 2 events were deleted unhandled by retention since the host started", "/subscriptions/mailer/send"],
    [{ subscriptions: [subscription({ backlog: 9 })], minutes: backlogs(1, 2, 5, 7) }, "warn", "mailer/send: the backlog has grown from 2 to 9 in 3 minutes", "/subscriptions/mailer/send"],
  ];
  for (const [facts, severity, title, href] of cases) {
    const [problem, ...others] = problemsOf(facts);
    expect([problem?.severity, problem?.title, problem?.href]).toEqual([severity, title, href]);
    expect(others).toEqual([]);
  }
});

test("severe problems come first, and many groups are counted", () => {
  const groups = Array.from({ length: 7 }, (_, sample) => ({ sample, subscription: "a/b", cause: "trap", count: 2, signature: "" }));
  const facts = { plugins: [plugin({ status: "drained" })], groups: groups as Schemas["DeadLetterGroupView"][] };
  const problems = problemsOf(facts);
  expect(problems.map((problem) => problem.severity)).toEqual(["bad", "bad", "bad", "bad", "bad", "bad", "warn"]);
  expect(problems[5]?.title).toBe("4 dead letters in 2 more groups");
});
