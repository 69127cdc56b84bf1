// UTF-8 and JSON, from bytes and to bytes. QuickJS has neither TextEncoder nor TextDecoder, and so the SDK
// brings what it needs; where a platform has them, they are used.

/** A text's bytes. */
export function encode(text) {
  return typeof TextEncoder === "function" ? new TextEncoder().encode(text) : encodeUtf8(text);
}

/** The text of bytes that are UTF-8. Others are a TypeError. */
export function decode(bytes) {
  return typeof TextDecoder === "function"
    ? new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    : decodeUtf8(bytes);
}

/** A value's JSON in bytes. */
export function encodeJson(value, what) {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`${what} cannot be written as JSON: it is ${typeof value}`);
  return encode(text);
}

/** The value whose JSON bytes are. */
export function decodeJson(bytes) {
  return JSON.parse(decode(bytes));
}

/** Whether a media type is that of JSON. */
export function isJson(mediaType) {
  const essence = mediaType.split(";")[0].trim().toLowerCase();
  return essence === "application/json" || essence.endsWith("+json");
}

/** Whether a media type is that of text. */
export function isText(mediaType) {
  return mediaType.trim().toLowerCase().startsWith("text/");
}

/** A text's bytes, without the platform's help. Lone surrogates become U+FFFD. */
export function encodeUtf8(text) {
  // A unit of UTF-16 takes three bytes at the most; a pair of them takes four.
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

/** The text of bytes that are UTF-8, without the platform's help. Others are a TypeError. */
export function decodeUtf8(bytes) {
  const parts = [];
  let units = [];
  for (let index = 0; index < bytes.length;) {
    const first = bytes[index++];
    const following =
      first < 0x80
        ? 0
        : first >= 0xc2 && first < 0xe0
          ? 1
          : first >= 0xe0 && first < 0xf0
            ? 2
            : first >= 0xf0 && first < 0xf5
              ? 3
              : -1;
    if (following < 0) throw notUtf8(index - 1);
    let code = following === 0 ? first : first & (0x3f >> following);
    for (let left = following; left > 0; left--) {
      const next = bytes[index++];
      if ((next & 0xc0) !== 0x80) throw notUtf8(index - 1);
      code = (code << 6) | (next & 0x3f);
    }
    const least = [0, 0x80, 0x800, 0x10000][following];
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw notUtf8(index - 1);
    if (code > 0xffff) units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    else units.push(code);
    if (units.length > 4096) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  parts.push(String.fromCharCode(...units));
  const text = parts.join("");
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

function notUtf8(index) {
  return new TypeError(`the bytes are not UTF-8: see byte ${index}`);
}
