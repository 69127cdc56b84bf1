// Limits the nesting of JSON. QuickJS parses and writes recursively, and beyond some thousand levels WebAssembly's
// stack is exhausted: a trap, which no `catch` sees. Deeper JSON is an error instead.

/** How many levels of arrays and objects JSON may have. */
export const DEEPEST = 1_000;

/** What is thrown where JSON is nested too deeply. */
export const TOO_DEEP = `nested more than ${DEEPEST} levels deep`;

/** A `JSON.parse` that refuses text which is nested too deeply. */
export function limitedParse(parse) {
  return function (text, reviver) {
    if (isTooDeep(String(text))) throw new RangeError(`the JSON text is ${TOO_DEEP}`);
    return parse(text, reviver);
  };
}

/** Whether text is nested too deeply. It is read bracket by bracket only if it has enough of them. */
export function isTooDeep(text) {
  if (text.length <= DEEPEST || !hasMore(text, "[") && !hasMore(text, "{")) return false;
  let depth = 0;
  // Brackets within strings do not count.
  for (const bracket of text.replaceAll(/"[^"\\]*(?:\\[^][^"\\]*)*"|[^[\]{}"]+/g, "")) {
    if (bracket === "[" || bracket === "{") depth++;
    else if (bracket === "]" || bracket === "}") depth--;
    if (depth > DEEPEST) return true;
  }
  return false;
}

/** Whether text has at least half as many of a character as there may be levels: one kind of bracket may hold the other. */
function hasMore(text, character) {
  let at = -1;
  for (let count = 0; count < DEEPEST / 2; count++) {
    at = text.indexOf(character, at + 1);
    if (at < 0) return false;
  }
  return true;
}
