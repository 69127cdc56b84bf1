// The part of the Web Cryptography API that packages use for random numbers. QuickJS lacks the whole API.

import { host, isThere } from "./host.js";

/** The maximum number of bytes per call (Web Cryptography, section 10.1.1). */
const QUOTA = 65_536;

const INTEGERS = [
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[BigInt64Array, BigUint64Array],
];

export const crypto = Object.freeze({
  getRandomValues(array) {
    if (!INTEGERS.some((type) => array instanceof type))
      throw new TypeError("getRandomValues takes an array of integers, such as a Uint8Array");
    if (array.byteLength > QUOTA) throw new RangeError(`getRandomValues gives at most ${QUOTA} bytes at a time`);
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
    return array;
  },

  get subtle() {
    throw new Error(
      'QuickJS lacks `crypto.subtle`; "sandbus": { "engine": "starlingmonkey" } in package.json chooses an engine that has it',
    );
  },

  /** A version 4 UUID (RFC 9562, section 5.4). */
  randomUUID() {
    const bytes = Uint8Array.from(randomBytes(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  },
});

function randomBytes(count) {
  if (isThere()) return host().randomBytes(count);
  throw new Error("a module cannot get random bytes at build time: they would be part of the component; use a handler");
}
