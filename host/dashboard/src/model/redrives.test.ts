import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => {
  vi.stubGlobal("sessionStorage", { getItem: () => null, setItem: () => {} });
});

test("the newest attempt of each redriven delivery decides", async () => {
  const { outcomeOf } = await import("./redrives");
  const redrive = { from: "2026-01-01T00:00:01Z", until: "2026-01-01T00:00:02Z", redriven: 5, subscriptions: ["a/b"] };
  const at = (position: number, verdict: "handled" | "retried" | "dead", redriven_at: string | null) => ({
    subscription: "a/b",
    position,
    replayed: false,
    verdict,
    redriven_at,
  });
  const during = "2026-01-01T00:00:01.5Z";
  const attempts = [
    at(1, "handled", during),
    at(1, "retried", during),
    at(2, "dead", during),
    at(3, "retried", during),
    at(4, "handled", null),
    at(5, "handled", "2026-01-01T00:00:00Z"),
  ];
  expect(outcomeOf(redrive, attempts, false)).toEqual({ handled: 1, dead: 1, retrying: 1, pending: 2, isPartial: false });
});
