import { expect, test } from "vitest";
import { loadWords, offsetInZone, timeInZone } from "./cron";

test("expressions of five and six fields have words", async () => {
  const inWords = await loadWords();
  expect(inWords("0 9 * * 1-5")).toBe("At 09:00, Monday through Friday");
  expect(inWords("*/10 * * * * *")).toBe("Every 10 seconds");
  expect(inWords("soon")).toBeNull();
});

test("times are those of the schedule's zone", () => {
  expect(timeInZone("2026-07-01T07:00:00Z", "Europe/Vienna")).toBe("2026-07-01 09:00:00");
  expect(timeInZone("2026-07-01T07:00:00Z", "Nowhere/Land")).toBeNull();
});

test("the offset of a zone follows the change of its clocks", () => {
  expect(offsetInZone("2026-10-24T10:00:00Z", "Europe/Vienna")).toBe("+02:00");
  expect(offsetInZone("2026-10-26T10:00:00Z", "Europe/Vienna")).toBe("+01:00");
  expect(offsetInZone("2026-10-26T10:00:00Z", "UTC")).toBe("+00:00");
  expect(offsetInZone("2026-10-26T10:00:00Z", "Nowhere/Land")).toBeNull();
});
