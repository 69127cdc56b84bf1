import { expect, test } from "vitest";
import type { Minute } from "./minutes";
import { errorsIn, spansOf } from "./plugin_generations";

function generation(digest: string, since: string) {
  return { digest, since, version: "1.0.0", rolled_back_from: false, asks_for: null, granted: null };
}

const time = (span: { from: number; to: number } | null) =>
  span && [span.from, span.to].map((at) => new Date(at).toISOString().slice(11, 16));

test("a generation has the whole minutes between its start and the next one", () => {
  const generations = [generation("b", "2026-11-30T10:30:30Z"), generation("a", "2026-11-30T08:00:00Z")];
  const spans = spansOf(generations, Date.parse("2026-11-30T10:40:10Z"));
  expect(spans.map(({ generation: { digest }, first, last }) => [digest, time(first), time(last)])).toEqual([
    ["b", ["10:31", "10:40"], ["10:31", "10:40"]],
    ["a", ["08:00", "09:00"], ["09:30", "10:30"]],
  ]);
});

test("a generation that ran for no whole minute has no errors to show", () => {
  const spans = spansOf([generation("a", "2026-11-30T10:30:30Z")], Date.parse("2026-11-30T10:31:10Z"));
  expect(spans[0]?.first).toBeNull();
});

test("errors are failures of all kinds", () => {
  const minute = (succeeded: number, retried: number, failed: number) => ({ succeeded, retried, failed }) as Minute;
  expect(errorsIn([minute(5, 1, 2), minute(1, 0, 0)])).toEqual({ failures: 3, total: 9 });
  expect(errorsIn([])).toEqual({ failures: 0, total: 0 });
});
