import { expect, test } from "vitest";
import { MINUTE, isIdle, merge, seriesOf, type Minute } from "./minutes";

const START = Date.parse("2026-11-30T12:00:00Z");

function minute(number: number, plugin: string, subscription: string | null, parts: Partial<Minute> = {}): Minute {
  const times = { p50_us: 10, p95_us: 20, p99_us: 30, max_us: 40 };
  return {
    at: new Date(START + number * MINUTE).toISOString(),
    plugin,
    subscription,
    succeeded: 1,
    retried: 0,
    failed: 0,
    backlog: null,
    in_flight: null,
    lag_seconds: null,
    cpu_us: 0,
    memory_bytes: 0,
    run: times,
    wait: times,
    latency: times,
    ...parts,
  };
}

test("minutes without an entry are zero, and have no percentiles", () => {
  const series = seriesOf([minute(0, "shop", null), minute(2, "shop", null)], {}, START, START + 3 * MINUTE);
  expect(series.times).toEqual([0, 1, 2].map((number) => START + number * MINUTE));
  expect(series.succeeded).toEqual([1, 0, 1]);
  expect(series.run.p50).toEqual([10, null, 10]);
  expect(series.subjects).toBe(1);
});

test("several subjects add up, and the slowest gives the percentiles", () => {
  const slow = { p50_us: 100, p95_us: 15, p99_us: 300, max_us: 400 };
  const entries = [
    minute(0, "shop", null),
    minute(0, "mail", "mail/send", { run: slow, retried: 2, failed: 3, backlog: 7 }),
    minute(0, "mail", "mail/count", { backlog: 4 }),
  ];
  const series = seriesOf(entries, {}, START, START + MINUTE);
  expect([series.succeeded, series.retried, series.failed, series.backlog]).toEqual([[3], [2], [3], [11]]);
  expect([series.run.p50, series.run.p95, series.run.p99]).toEqual([[100], [20], [300]]);
  expect(series.subjects).toBe(3);
});

test("a selection has a plugin, its routes or one subscription", () => {
  const entries = [minute(0, "mail", null), minute(0, "mail", "mail/send"), minute(0, "shop", null)];
  const counts = (selection: object) => seriesOf(entries, selection, START, START + MINUTE).succeeded;
  expect(counts({ plugin: "mail" })).toEqual([2]);
  expect(counts({ plugin: "mail", isRoutes: true })).toEqual([1]);
  expect(counts({ subscription: "mail/send" })).toEqual([1]);
  expect(counts({ plugin: "other" })).toEqual([0]);
});

test("a subject that only has a backlog has no percentiles", () => {
  const idle = minute(0, "mail", "mail/send", { succeeded: 0, backlog: 5, run: { p50_us: 0, p95_us: 0, p99_us: 0, max_us: 0 } });
  const series = seriesOf([idle], {}, START, START + MINUTE);
  expect([series.backlog, series.run.p50, series.subjects]).toEqual([[5], [null], 0]);
});

test("a time is idle without activity and backlog", () => {
  const of = (entries: Minute[]) => isIdle(seriesOf(entries, {}, START, START + MINUTE));
  expect([of([]), of([minute(0, "shop", null)]), of([minute(0, "a", "a/b", { succeeded: 0, backlog: 1 })])]).toEqual([
    true,
    false,
    false,
  ]);
});

test("entries that are read again replace the earlier ones", () => {
  const known = [minute(0, "shop", null), minute(1, "shop", null)];
  const merged = merge(known, [minute(1, "shop", null, { succeeded: 9 }), minute(2, "shop", null)]);
  expect(merged.map((entry) => entry.succeeded)).toEqual([1, 9, 1]);
});
