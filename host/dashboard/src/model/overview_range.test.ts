import { expect, test } from "vitest";
import { MINUTE } from "./minutes";
import { inputOf, rangeOf, timeOfInput, zoomed } from "./overview_range";

const NOW = Date.parse("2026-11-30T12:34:56Z");

test("ranges end with the last whole minute", () => {
  const range = rangeOf({ range: "15m" }, NOW);
  expect(new Date(range.to).toISOString()).toBe("2026-11-30T12:34:00.000Z");
  expect(range.to - range.from).toBe(15 * MINUTE);
  expect(rangeOf({}, NOW).name).toBe("1h");
  expect(rangeOf({ range: "nonsense" }, NOW).name).toBe("1h");
});

test("a chosen time has whole minutes, and an invalid one is ignored", () => {
  const range = rangeOf({ from: "2026-11-30T10:00:30Z", to: "2026-11-30T10:00:40Z", range: "6h" }, NOW);
  expect([range.to - range.from, range.name]).toEqual([MINUTE, null]);
  expect(rangeOf({ from: "2026-11-30T10:00:00Z", to: "then", range: "6h" }, NOW).name).toBe("6h");
  expect(rangeOf({ from: "2026-11-30T11:00:00Z", to: "2026-11-30T10:00:00Z" }, NOW).name).toBe("1h");
});

test("zooming selects all minutes that it touches", () => {
  const { from, to } = zoomed(NOW, NOW + 5_000);
  expect([from, to]).toEqual(["2026-11-30T12:34:00.000Z", "2026-11-30T12:36:00.000Z"]);
});

test("inputs give back the time that they show", () => {
  for (const inUtc of [true, false]) {
    expect(timeOfInput(inputOf(NOW, inUtc), inUtc)).toBe(NOW - 56_000);
  }
  expect(timeOfInput("", true)).toBeNaN();
});
