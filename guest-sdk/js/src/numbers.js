// Numbers in the state: decimal text in the range of a signed 64-bit integer.

import { StateError } from "./failure.js";
import { decodeUtf8 } from "./utf8.js";

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

/** The error for a value that is not a number, or for a sum that is out of range. */
export function numberError(kind, key) {
  const reasons = {
    "not-a-number": `the value of \`${key}\` is not a number`,
    "out-of-range": `the number at \`${key}\` exceeds the range of signed 64 bits`,
  };
  return new StateError(kind, `the state refused the call: ${reasons[kind]}`);
}

/** The sum of a value's bytes and a delta, as a BigInt. An absent value counts as zero. */
export function sum(bytes, delta, key) {
  const text = bytes === undefined || bytes === null ? "0" : decodeUtf8(bytes, false);
  if (!/^[+-]?\d+$/.test(text)) throw numberError("not-a-number", key);
  const total = BigInt(text.replace("+", "")) + BigInt(delta);
  if (total < MIN || total > MAX) throw numberError("out-of-range", key);
  return total;
}
