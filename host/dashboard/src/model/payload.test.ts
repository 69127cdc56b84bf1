import { expect, test } from "vitest";
import { base64Of, bytesOf, formsOf } from "./payload";

test("JSON has a tree, text and hex", () => {
  const forms = formsOf({ a: [1, "é"] }, null);
  expect(forms?.available).toEqual(["tree", "text", "hex"]);
  expect(forms?.size).toBe(new TextEncoder().encode('{"a":[1,"é"]}').length);
  expect(forms?.text()).toContain('"a": [');
});

test("binary data that is not UTF-8 has hex only", () => {
  const forms = formsOf(undefined, btoa("\xff\x00A"));
  expect(forms?.available).toEqual(["hex"]);
  expect(forms?.hex()).toBe(`00000000  ff 00 41${" ".repeat(39)}  ..A`);
});

test("base64 is that of UTF-8", () => {
  expect(new TextDecoder().decode(bytesOf(base64Of("grüße")))).toBe("grüße");
});

test("no payload has no form", () => {
  expect(formsOf(undefined, null)).toBeNull();
  expect(formsOf(null, null)).toBeNull();
});
