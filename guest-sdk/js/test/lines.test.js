import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../src/failure.js";
import { lineMap } from "../tools/lines.js";

const MAP = JSON.stringify({ sources: ["a.ts", "b.ts"], mappings: "AAAA;AACA,SAAS;;AAGA;ACJA" });

test("successive lines of a source are one run", () => {
  assert.deepEqual(
    lineMap(MAP, (source) => `src/${source}`),
    {
      sources: ["src/a.ts", "src/b.ts"],
      runs: [
        [1, 0, 1],
        [4, 0, 5],
        [5, 1, 1],
      ],
    },
  );
});

test("a stack names the sources' own lines", () => {
  globalThis.__sandbusBundles = { "bundle.js": lineMap(MAP, (source) => `src/${source}`) };
  const error = new Error("broken");
  error.stack = "    at first (bundle.js:2:7)\n    at <anonymous> (bundle.js:4)\n    at bundle.js:9:1\n    at native";
  const described = describe(error);
  delete globalThis.__sandbusBundles;
  assert.equal(
    described,
    "uncaught Error: broken\n    at first (src/a.ts:2)\n    at <anonymous> (src/a.ts:5)\n    at src/b.ts:5\n    at native",
  );
});
