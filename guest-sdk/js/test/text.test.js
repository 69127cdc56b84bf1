import assert from "node:assert/strict";
import { test } from "node:test";

import { encodeJson, jsonText } from "../src/text.js";
import { Utf8Decoder, Utf8Encoder, encodeUtf8 } from "../src/utf8.js";

/** Sequences that decoders often get wrong (Unicode 15, section 3.9, and tables 3-7 to 3-11). */
const SEQUENCES = [
  [],
  [0x61],
  [0x80],
  [0xff],
  [0xc0, 0x80],
  [0xc1, 0xbf],
  [0xc3],
  [0xc3, 0x61],
  [0xc3, 0xa4],
  [0xe0, 0x80, 0x80],
  [0xe0, 0xa0],
  [0xe2, 0x82],
  [0xe2, 0x82, 0xac],
  [0xe2, 0x82, 0x61],
  [0xed, 0xa0, 0x80],
  [0xef, 0xbb, 0xbf],
  [0xef, 0xbb, 0xbf, 0x61],
  [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf],
  [0xf0, 0x80, 0x80, 0x80],
  [0xf0, 0x9f, 0x98, 0x80],
  [0xf0, 0x9f, 0x98],
  [0xf0, 0x9f, 0x98, 0x61],
  [0xf0, 0x90, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xf5, 0x80],
  [0x61, 0xf1, 0x80, 0x80, 0xe1, 0x80, 0xc2, 0x62, 0x80, 0x63, 0x80, 0xbf, 0x64],
  [...new TextEncoder().encode("x".repeat(10_000) + "😀ä€\u0000\uffff")],
];

/** Random bytes that often start a character. */
function* random(count) {
  let state = 1;
  const next = () => (state = (state * 48_271) % 0x7fff_ffff);
  const often = [0x61, 0x80, 0x9f, 0xa0, 0xbf, 0xc3, 0xe0, 0xe2, 0xed, 0xef, 0xbb, 0xf0, 0xf4, 0xff];
  for (let index = 0; index < count; index++)
    yield Array.from({ length: next() % 9 }, () => (next() % 3 === 0 ? next() % 256 : often[next() % often.length]));
}

/** The text that a decoder makes of chunks of bytes, or that it refuses them. */
function decoded(Decoder, options, parts) {
  try {
    const decoder = new Decoder("utf-8", options);
    const texts = parts.map((part, index) => decoder.decode(new Uint8Array(part), { stream: index < parts.length - 1 }));
    return texts.join("|");
  } catch (error) {
    return error.name;
  }
}

test("bytes are decoded as the platform decodes them, whole and in parts", () => {
  for (const bytes of [...SEQUENCES, ...random(3_000)]) {
    for (const fatal of [false, true]) {
      for (const ignoreBOM of [false, true]) {
        const cuts = bytes.length > 20 ? [1, 10_001] : bytes.keys();
        for (const cut of [0, ...cuts]) {
          const parts = cut === 0 ? [bytes] : [bytes.slice(0, cut), bytes.slice(cut)];
          const options = { fatal, ignoreBOM };
          const joined = (text) => text.replaceAll("|", "");
          const [own, platform] = [Utf8Decoder, TextDecoder].map((Decoder) => joined(decoded(Decoder, options, parts)));
          assert.equal(own, platform, `${bytes} cut at ${cut}, ${JSON.stringify(options)}`);
        }
      }
    }
  }
});

test("a stream is decoded up to its last complete character, and a decoder can be reused", () => {
  const decoder = new Utf8Decoder();
  assert.equal(decoder.decode(new Uint8Array([0xef, 0xbb]), { stream: true }), "");
  assert.equal(decoder.decode(new Uint8Array([0xbf, 0x61, 0xf0, 0x9f]), { stream: true }), "a");
  assert.equal(decoder.decode(new Uint8Array([0x98, 0x80]), { stream: true }), "😀");
  assert.equal(decoder.decode(new Uint8Array([0xe2])), "\ufffd");
  assert.equal(decoder.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])), "a");
});

test("a decoder accepts the standard's labels and options, and all views of bytes", () => {
  for (const label of ["utf8", " UTF-8\n", "unicode-1-1-utf-8", "x-unicode20utf8", undefined])
    assert.equal(new Utf8Decoder(label).encoding, "utf-8");
  for (const label of ["latin1", "utf-16le", "", "utf 8"]) assert.throws(() => new Utf8Decoder(label), RangeError);
  const { fatal, ignoreBOM } = new Utf8Decoder("utf-8", { fatal: 1, ignoreBOM: 0 });
  assert.deepEqual([fatal, ignoreBOM], [true, false]);
  const { buffer } = new Uint8Array([0x61, 0x62, 0x63]);
  const decoder = new Utf8Decoder();
  assert.equal(decoder.decode(buffer), "abc");
  assert.equal(decoder.decode(new DataView(buffer, 1)), "bc");
  assert.equal(decoder.decode(), "");
  assert.throws(() => decoder.decode("abc"), TypeError);
});

const TEXTS = ["", "plain", "ä€", "😀 a", "\u0000\u007f\u0080\u07ff\u0800\uffff", "a\ud800b", "\udc00", "\udc00\ud800"];

test("texts are encoded as the platform encodes them", () => {
  for (const text of [...TEXTS, "x".repeat(10_000) + "😀"]) {
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
    for (const room of [0, 1, 3, 5, 100]) {
      const [own, platform] = [new Uint8Array(room), new Uint8Array(room)];
      assert.deepEqual(new Utf8Encoder().encodeInto(text, own), new TextEncoder().encodeInto(text, platform));
      assert.deepEqual(own, platform);
    }
  }
});

test("JSON has no lone surrogates, and keeps text that only looks like one", () => {
  for (const [value, expected] of [
    ["\ud800", '"\ufffd"'],
    ["\udc00\ud800", '"\ufffd\ufffd"'],
    [{ "a\udfff": ["\ud83d😀"] }, '{"a\ufffd":["\ufffd😀"]}'],
    ["\\ud800", '"\\\\ud800"'],
    ["\\\ud800", '"\\\\\ufffd"'],
    ["\u0001\n\"", '"\\u0001\\n\\""'],
  ]) {
    assert.equal(jsonText(value), expected);
    assert.deepEqual(encodeJson(value), new TextEncoder().encode(expected));
  }
});
