import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parseTime } from "../src/time.js";

const table = JSON.parse(readFileSync(new URL("../../conformance/rfc3339.json", import.meta.url), "utf8"));

test("only RFC 3339 is parsed", () => {
  for (const [text, milliseconds] of Object.entries(table.valid)) assert.equal(parseTime(text), milliseconds, text);
  for (const text of table.invalid) assert.equal(parseTime(text), undefined, text);
});
