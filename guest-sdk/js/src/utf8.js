// TextEncoder and TextDecoder of the WHATWG Encoding Standard, for UTF-8 only: QuickJS has neither.

const LABELS = ["unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "utf-8", "utf8", "x-unicode20utf8"];

export class Utf8Encoder {
  get encoding() {
    return "utf-8";
  }

  encode(text = "") {
    return encodeUtf8(String(text));
  }

  encodeInto(text, target) {
    let [read, written] = [0, 0];
    for (const character of String(text)) {
      const bytes = encodeUtf8(character);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      read += character.length;
      written += bytes.length;
    }
    return { read, written };
  }
}

/** The decoder of section 7.1, with the UTF-8 decoder of section 8.1.1. */
export class Utf8Decoder {
  #fatal;
  #ignoreBOM;
  #unfinished = new Uint8Array();
  #begun = false;

  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    const name = String(label)
      .replaceAll(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "")
      .toLowerCase();
    if (!LABELS.includes(name)) {
      throw new RangeError(`the encoding ${label} is not supported, only utf-8; the engine starlingmonkey has others`);
    }
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }

  get encoding() {
    return "utf-8";
  }

  get fatal() {
    return this.#fatal;
  }

  get ignoreBOM() {
    return this.#ignoreBOM;
  }

  decode(input = new Uint8Array(), { stream = false } = {}) {
    const bytes = joined(this.#unfinished, octets(input));
    const end = stream ? bytes.length - unfinished(bytes) : bytes.length;
    this.#unfinished = new Uint8Array();
    const isFirst = !this.#begun;
    this.#begun = false;
    const text = decodeUtf8(bytes.subarray(0, end), this.#fatal);
    this.#unfinished = bytes.slice(end);
    // The stream has started when something was decoded; before that, a byte order mark may be incomplete.
    this.#begun = stream && (!isFirst || end > 0);
    return isFirst && !this.#ignoreBOM && text.startsWith("\ufeff") ? text.slice(1) : text;
  }
}

function octets(input) {
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  throw new TypeError("decode takes an ArrayBuffer or a view of one");
}

function joined(before, after) {
  if (before.length === 0) return after;
  const all = new Uint8Array(before.length + after.length);
  all.set(before);
  all.set(after, before.length);
  return all;
}

/** The number of bytes at the end that are an incomplete character. */
function unfinished(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const { following, least, most } = lead(byte);
    if (following < back) return 0;
    const second = bytes[bytes.length - back + 1];
    return back === 1 || (second >= least && second <= most) ? back : 0;
  }
  return 0;
}

/** The number of bytes that follow a first byte, and the range of the second byte (Unicode, table 3-7). */
function lead(byte) {
  if (byte < 0x80) return { following: 0, least: 0x80, most: 0xbf };
  if (byte >= 0xc2 && byte < 0xe0) return { following: 1, least: 0x80, most: 0xbf };
  if (byte >= 0xe0 && byte < 0xf0)
    return { following: 2, least: byte === 0xe0 ? 0xa0 : 0x80, most: byte === 0xed ? 0x9f : 0xbf };
  if (byte >= 0xf0 && byte < 0xf5)
    return { following: 3, least: byte === 0xf0 ? 0x90 : 0x80, most: byte === 0xf4 ? 0x8f : 0xbf };
  return { following: -1, least: 0, most: 0 };
}

/** Converts a text to UTF-8. Lone surrogates become U+FFFD. */
export function encodeUtf8(text) {
  // A UTF-16 unit takes at most three bytes; a pair takes four.
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (let index = 0; index < text.length; index++) {
    let code = text.codePointAt(index);
    if (code > 0xffff) index++;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) {
      bytes[length++] = code;
      continue;
    }
    const following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    bytes[length++] = [0, 0xc0, 0xe0, 0xf0][following] | (code >> (6 * following));
    for (let shift = 6 * (following - 1); shift >= 0; shift -= 6) bytes[length++] = 0x80 | ((code >> shift) & 0x3f);
  }
  return bytes.slice(0, length);
}

/**
 * Converts UTF-8 to a text. If the bytes are not UTF-8, it throws a TypeError when `fatal` is set. Otherwise each
 * maximal subpart of an ill-formed sequence becomes one U+FFFD (Unicode, section 3.9).
 */
export function decodeUtf8(bytes, fatal) {
  const parts = [];
  let units = [];
  for (let index = 0; index < bytes.length;) {
    const start = index;
    let code = bytes[index++];
    if (code >= 0x80) {
      const { following, least, most } = lead(code);
      let missing = following;
      code &= 0x3f >> Math.max(following, 0);
      while (missing > 0) {
        const isSecond = missing === following;
        const byte = bytes[index];
        if (!(byte >= (isSecond ? least : 0x80) && byte <= (isSecond ? most : 0xbf))) break;
        code = (code << 6) | (byte & 0x3f);
        index++;
        missing--;
      }
      if (missing !== 0) {
        if (fatal) throw new TypeError(`the bytes are not UTF-8: see byte ${start}`);
        code = 0xfffd;
      }
    }
    if (code > 0xffff) units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    else units.push(code);
    if (units.length > 4096) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  parts.push(String.fromCharCode(...units));
  return parts.join("");
}
