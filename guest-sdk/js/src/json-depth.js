// Limits the depth of JSON. QuickJS parses and writes recursively, and deeply nested values would exhaust the
// component's stack. That is a trap, which no `catch` catches. So JSON that is nested too deeply is refused first.

/** The maximum depth of arrays and objects. */
export const MAX_DEPTH = 1_000;

/** A part of error messages. */
export const TOO_DEEP = `nested more than ${MAX_DEPTH} levels deep`;

/** A `JSON.parse` that refuses text which is nested too deeply. */
export function limitedParse(parse) {
  return function (text, reviver) {
    if (isTooDeep(String(text))) throw new RangeError(`the JSON text is ${TOO_DEEP}`);
    return parse(text, reviver);
  };
}

/** Whether text is nested too deeply. Only text with enough brackets is scanned for its depth. */
export function isTooDeep(text) {
  if (text.length <= MAX_DEPTH || !hasMore(text, "[") && !hasMore(text, "{")) return false;
  let depth = 0;
  // Brackets in strings do not count.
  for (const bracket of text.replaceAll(/"[^"\\]*(?:\\[^][^"\\]*)*"|[^[\]{}"]+/g, "")) {
    if (bracket === "[" || bracket === "{") depth++;
    else if (bracket === "]" || bracket === "}") depth--;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** Whether a character occurs at least half as often as the limit. Arrays and objects may alternate. */
function hasMore(text, character) {
  let at = -1;
  for (let count = 0; count < MAX_DEPTH / 2; count++) {
    at = text.indexOf(character, at + 1);
    if (at < 0) return false;
  }
  return true;
}
