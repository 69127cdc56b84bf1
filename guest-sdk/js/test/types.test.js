import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { isPattern, matches } from "../src/rules.js";

const table = JSON.parse(readFileSync(new URL("../../conformance/event-types.json", import.meta.url), "utf8"));

test("types and patterns are as in the table", () => {
  for (const pattern of table.patterns) assert.ok(isPattern(pattern), pattern);
  for (const text of table.malformed) assert.ok(!isPattern(text), JSON.stringify(text));
  for (const [pattern, type, taken] of table.matches)
    assert.equal(matches(pattern, type), taken, `${pattern} and ${type}`);
});

test("a pattern has at most 255 bytes", () => {
  assert.ok(isPattern(`${"a.".repeat(127)}a`));
  assert.ok(isPattern("ä".repeat(127)));
  assert.ok(!isPattern("ä".repeat(128)));
});
