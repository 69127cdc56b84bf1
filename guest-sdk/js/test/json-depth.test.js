import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin, state } from "@sandbus/sdk";
import { FakeHost } from "@sandbus/sdk/testing";

import { MAX_DEPTH, isTooDeep, limitedParse } from "../src/json-depth.js";

const arrays = (count) => "[".repeat(count) + "]".repeat(count);
const objects = (count) => '{"a":'.repeat(count) + "1" + "}".repeat(count);

/** JSON texts, and whether they are nested too deeply. */
const TEXTS = {
  "as deep as may be": [arrays(MAX_DEPTH), false],
  "one level too deep": [arrays(MAX_DEPTH + 1), true],
  "objects": [objects(MAX_DEPTH + 1), true],
  "objects as deep as may be": [objects(MAX_DEPTH), false],
  "both in turn": ['[{"a":'.repeat(MAX_DEPTH / 2) + "[1]" + "}]".repeat(MAX_DEPTH / 2), true],
  "never closed": ["[".repeat(MAX_DEPTH + 1), true],
  "many that are flat": [`[${"[],".repeat(5 * MAX_DEPTH)}[]]`, false],
  "brackets in a string": [JSON.stringify("[".repeat(5 * MAX_DEPTH)), false],
  "brackets after an escape": [`["\\"${"[{".repeat(5 * MAX_DEPTH)}\\\\"]`, false],
  "deep after strings": [`["\\"]",${arrays(MAX_DEPTH)}]`, true],
  "empty": ["", false],
};

for (const [name, [text, expected]] of Object.entries(TEXTS)) {
  test(`JSON text that is ${name} is ${expected ? "" : "not "}too deep`, () => {
    assert.equal(isTooDeep(text), expected);
    const parse = limitedParse(JSON.parse);
    if (expected) assert.throws(() => parse(text), /RangeError: the JSON text is nested more than 1000 levels deep/);
  });
}

test("a limited JSON.parse is JSON.parse", () => {
  const parse = limitedParse(JSON.parse);
  assert.deepEqual(parse('{"a":[1]}', (key, value) => (key === "0" ? 2 : value)), { a: [2] });
  assert.equal(parse(5), 5);
  assert.throws(() => parse("{"), SyntaxError);
  assert.throws(() => parse(undefined), SyntaxError);
});

test("a value that is nested too deeply is not written", () => {
  const nested = (count) => Array.from({ length: count }).reduce((inner) => [inner], 1);
  const host = new FakeHost(plugin({ name: "a" }));
  host.run(() => {
    state.set("key", nested(MAX_DEPTH));
    assert.equal(JSON.stringify(state.get("key")), JSON.stringify(nested(MAX_DEPTH)));
    const reason = /the value of `key` cannot be written as JSON: it is nested more than 1000 levels deep/;
    assert.throws(() => state.set("key", nested(MAX_DEPTH + 1)), reason);
    // It would never end.
    const endless = { toJSON: () => ({ next: endless }) };
    assert.throws(() => state.set("key", endless), reason);
  });
});
