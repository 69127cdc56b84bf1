import assert from "node:assert/strict";
import { test } from "node:test";

import { plugin } from "@sandbus/sdk";
import { FakeHost } from "@sandbus/sdk/testing";

import { compile } from "../src/json-schema.js";

/** The outcome of a delivery with data, and the data that the handler got. */
function delivered(schema, data) {
  const seen = [];
  const host = new FakeHost(plugin({ name: "shop" }).on("order", { schema }, (order) => seen.push(order)));
  return { ...host.deliver("order", data), seen };
}

/** A Standard Schema, as zod and valibot implement it: see https://standardschema.dev. */
function standard(validate) {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

test("data that a Standard Schema refuses is rejected, and the handler gets the schema's output", () => {
  const schema = standard((value) =>
    Number.isInteger(value?.order_id)
      ? { value: { id: value.order_id } }
      : { issues: [{ message: "expected an integer", path: ["order_id"] }, { message: "odd", path: [{ key: "a/b" }, 0] }] },
  );
  assert.deepEqual(delivered(schema, { order_id: 7 }), { outcome: "ack", seen: [{ id: 7 }] });
  assert.deepEqual(delivered(schema, { order_id: "x" }), {
    outcome: "reject",
    reason: "the event's data is invalid: /order_id: expected an integer; /a~1b/0: odd",
    seen: [],
  });
});

test("a Standard Schema may be a function, as arktype's are, and must be synchronous", () => {
  const schema = Object.assign(() => {}, standard((value) => ({ value })));
  assert.deepEqual(delivered(schema, 1), { outcome: "ack", seen: [1] });
  const { outcome, reason, cause } = delivered(standard(async (value) => ({ value })), 1);
  assert.deepEqual([outcome, cause], ["retry", "exception"]);
  assert.match(reason, /the schema is asynchronous/);
});

test("data that a JSON Schema refuses is rejected with all misfits", () => {
  const schema = {
    type: "object",
    required: ["order_id", "lines"],
    properties: {
      order_id: { type: "integer" },
      lines: { type: "array", items: { type: "object", required: ["article"] } },
    },
  };
  assert.equal(delivered(schema, { order_id: 1, lines: [{ article: "bread" }] }).outcome, "ack");
  assert.equal(
    delivered(schema, { order_id: "x", lines: [{}] }).reason,
    "the event's data is invalid: /order_id: must be integer, not string; " +
      "/lines/0: the property `article` is missing",
  );
  assert.equal(delivered(schema, undefined).reason, "the event's data is invalid: must be object, not undefined");
  const many = delivered({ items: { type: "string" } }, Array.from({ length: 20 }, (_, index) => index));
  assert.match(many.reason, /\/7: must be string, not number; and 12 more$/);
});

test("an invalid schema, or one with an unsupported keyword, is refused when it is declared", () => {
  const declare = (schema) => () => plugin({ name: "shop" }).on("order", { schema }, () => {});
  assert.throws(declare({ properties: { a: { unevaluatedProperties: false } } }), /on order.*`unevaluatedProperties`/);
  assert.throws(declare({ typo: "string" }), /`typo` is not supported/);
  assert.throws(declare("string"), /a schema must be an object or a boolean/);
  assert.throws(declare({ $ref: "#/$defs/none" }), /`\$ref` .* is not in the schema/);
  assert.throws(declare({ $ref: "https://example.com/schema" }), /must be #/);
  assert.throws(declare({ pattern: "(" }), SyntaxError);
});

/** Cases of JSON Schema's own test suite (draft 2020-12, https://github.com/json-schema-org/JSON-Schema-Test-Suite). */
const CASES = [
  [{ type: "integer" }, [1, 1.0, -3], [1.1, "1", {}, [], true, null]],
  [{ type: "number" }, [1, 1.1], ["1", null]],
  [{ type: "string" }, ["", "1"], [1, null, {}]],
  [{ type: "object" }, [{}], [[], null, "a"]],
  [{ type: "array" }, [[]], [{}, null]],
  [{ type: "boolean" }, [true, false], [0, "", null]],
  [{ type: "null" }, [null], [0, "", false, {}]],
  [{ type: ["integer", "string"] }, [1, "a"], [1.1, null, {}]],
  [{ enum: [6, "a", [], true, { a: 12 }] }, [6, "a", [], true, { a: 12 }], [0, "b", null, { a: 1 }, { a: 12, b: 1 }]],
  [{ const: { a: 1, b: [2] } }, [{ b: [2], a: 1 }], [{ a: 1 }, [1], 5]],
  [{ const: 0 }, [0, -0], [false, "0", [], null]],
  [{ minimum: 1.1, maximum: 3 }, [1.1, 3, "x"], [0.6, 3.5]],
  [{ exclusiveMinimum: 1, exclusiveMaximum: 3 }, [2, "x"], [1, 3]],
  [{ multipleOf: 0.01 }, [4.02, 0, 0.07, "a"], [0.007]],
  [{ multipleOf: 2 }, [10], [7]],
  [{ minLength: 2, maxLength: 2 }, ["fo", "💩💩", 1], ["f", "foo", "💩"]],
  [{ pattern: "^a*$" }, ["aaa", "", 1], ["abc"]],
  [{ pattern: "^\\p{Letter}+$" }, ["é"], ["1"]],
  [{ minItems: 1, maxItems: 2 }, [[1], [1, 2], ""], [[], [1, 2, 3]]],
  [{ uniqueItems: true }, [[1, 2], [1, true], [{ a: 1 }, { a: 2 }]], [[1, 1], [{ a: 1, b: 2 }, { b: 2, a: 1 }], [[1], [1]]]],
  [{ prefixItems: [{ type: "integer" }], items: { type: "string" } }, [[1], [1, "a"], [], {}], [["a"], [1, 2]]],
  [{ prefixItems: [true], items: false }, [[], [1]], [[1, 2]]],
  [{ contains: { minimum: 5 } }, [[3, 5], {}], [[3], []]],
  [{ contains: { const: 1 }, minContains: 2, maxContains: 3 }, [[1, 1], [1, 1, 1]], [[1], [1, 1, 1, 1]]],
  [{ contains: { const: 1 }, minContains: 0 }, [[], [2]], []],
  [{ required: ["a", "toString"] }, [{ a: 1, toString: 1 }, []], [{ a: 1 }]],
  [{ properties: { a: { type: "integer" }, b: false } }, [{ a: 1 }, {}, [], { c: 1 }], [{ a: "x" }, { b: 1 }]],
  [{ properties: { constructor: { type: "number" } } }, [{}], [{ constructor: "x" }]],
  [{ patternProperties: { "f.*o": { type: "integer" } } }, [{ foo: 1 }, { bar: "a" }], [{ foo: "bar" }]],
  [
    { properties: { a: {} }, patternProperties: { "^v": {} }, additionalProperties: false },
    [{ a: 1, vroom: 2 }, []],
    [{ a: 1, q: 2 }],
  ],
  [{ additionalProperties: { type: "boolean" } }, [{ a: true }], [{ a: 1 }]],
  [{ propertyNames: { maxLength: 3 } }, [{ f: {}, foo: {} }, []], [{ foobar: {} }]],
  [{ minProperties: 1, maxProperties: 2 }, [{ a: 1 }, []], [{}, { a: 1, b: 2, c: 3 }]],
  [{ dependentRequired: { b: ["a"] } }, [{}, { a: 1 }, { a: 1, b: 1 }], [{ b: 1 }]],
  [{ dependentSchemas: { b: { required: ["a"] } } }, [{}, { a: 1, b: 1 }], [{ b: 1 }]],
  [{ allOf: [{ required: ["a"] }, { required: ["b"] }] }, [{ a: 1, b: 1 }], [{ a: 1 }]],
  [{ anyOf: [{ type: "integer" }, { minimum: 2 }] }, [1, 2.5, "a"], [1.5]],
  [{ oneOf: [{ type: "integer" }, { minimum: 2 }] }, [1, 2.5], [3, 1.5]],
  [{ not: { type: "integer" } }, ["a"], [1]],
  [{ if: { const: 1 }, then: false, else: { type: "string" } }, ["a"], [1, 2]],
  [{ then: false }, [1], []],
  [{ $defs: { a: { type: "integer" } }, properties: { a: { $ref: "#/$defs/a" } } }, [{ a: 1 }], [{ a: "x" }]],
  [{ $defs: { "a/b~c": { type: "integer" } }, $ref: "#/$defs/a~1b~0c" }, [1], ["x"]],
  [{ properties: { next: { $ref: "#" } }, additionalProperties: false }, [{ next: { next: {} } }], [{ next: { a: 1 } }]],
  [{ format: "email", title: "t", default: 1 }, ["no address"], []],
  [true, [1, undefined], []],
  [false, [], [1, undefined]],
  [{}, [1, null], []],
];

test("JSON Schema's keywords mean what its test suite says", () => {
  for (const [schema, valid, invalid] of CASES) {
    const misfits = compile(schema, "a test");
    for (const value of valid) assert.deepEqual(misfits(value), [], JSON.stringify([schema, value]));
    for (const value of invalid) assert.notEqual(misfits(value).length, 0, JSON.stringify([schema, value]));
  }
});
