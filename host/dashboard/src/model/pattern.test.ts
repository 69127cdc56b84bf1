import { expect, test } from "vitest";
import shared from "../../../../guest-sdk/conformance/event-types.json";
import { isPattern, matches } from "./pattern";

interface Table {
  patterns: string[];
  malformed: string[];
  matches: [string, string, boolean][];
}

const table = shared as unknown as Table;

test("types and patterns are as in the table of the host and the SDKs", () => {
  for (const text of table.patterns) {
    expect(isPattern(text), text).toBe(true);
  }
  for (const text of table.malformed) {
    expect(isPattern(text), JSON.stringify(text)).toBe(false);
  }
  for (const [pattern, eventType, expected] of table.matches) {
    expect(matches(pattern, eventType), `${pattern} and ${eventType}`).toBe(expected);
  }
  expect(isPattern("ä".repeat(127))).toBe(true);
  expect(isPattern("ä".repeat(128))).toBe(false);
});
