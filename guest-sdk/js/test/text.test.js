import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeUtf8, encodeUtf8 } from "../src/text.js";

test("texts are encoded and decoded as the platform does it", () => {
  for (const text of ["", "plain", "ä€", "😀 a", "\u0000\u007f\u0080\u07ff\u0800\uffff", "x".repeat(10_000) + "😀"]) {
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
    assert.equal(decodeUtf8(encodeUtf8(text)), text);
  }
  assert.deepEqual(encodeUtf8("a\ud800b"), new TextEncoder().encode("a\ud800b"));
  assert.equal(decodeUtf8(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])), "a");
});

test("bytes that are not UTF-8 are refused", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });
  for (const bytes of [
    [0x80],
    [0xc0, 0x80],
    [0xc3],
    [0xe0, 0x80, 0x80],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xff],
    [0xe2, 0x82],
  ]) {
    assert.throws(() => strict.decode(new Uint8Array(bytes)), `the platform takes ${bytes}`);
    assert.throws(() => decodeUtf8(new Uint8Array(bytes)), TypeError, `${bytes} were taken`);
  }
});
