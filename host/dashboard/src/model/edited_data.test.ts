import { expect, test } from "vitest";
import { bodyOf, editableOf, faultOf, mayBeRounded } from "./edited_data";

const event = {};

test("JSON is edited as text, and other data as base64", () => {
  expect(editableOf({ ...event, data: { a: 1 } })).toEqual({ text: '{\n  "a": 1\n}', isBase64: false });
  expect(editableOf({ ...event, data_base64: "AAE=" })).toEqual({ text: "AAE=", isBase64: true });
  expect(editableOf(event).text).toBe("");
});

test("the body has the JSON as written", () => {
  expect(bodyOf('{"n": 12345678901234567890}', false)).toBe('{"data":{"n": 12345678901234567890}}');
  expect(bodyOf(" AAE= ", true)).toBe('{"data_base64":"AAE="}');
});

test("faults are found before the call", () => {
  expect(faultOf("{", false)).toMatch(/^The text is not JSON: /);
  expect(faultOf("", false)).not.toBeNull();
  expect(faultOf("*", true)).toBe("The text is not base64.");
  expect(faultOf("null", false)).toBeNull();
});

test("integers above 2^53 may be rounded", () => {
  expect(mayBeRounded({ a: [12345678901234567000] })).toBe(true);
  expect(mayBeRounded({ a: [1, 1.5, "12345678901234567890"] })).toBe(false);
});
