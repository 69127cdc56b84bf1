/** Patterns of event types, exactly as the host matches them. The shared table of the host and the SDKs tests this. */

const MOST_BYTES = 255;

/** Whether a text is a pattern. */
export function isPattern(text: string): boolean {
  const words = text.split(".");
  return (
    new TextEncoder().encode(text).length <= MOST_BYTES &&
    words.every((word, index) => word === "*" || isPlain(word) || (word === ">" && index === words.length - 1))
  );
}

/** Why a text is not a pattern; null if it is one. */
export function patternFault(text: string): string | null {
  return isPattern(text) ? null : "Write words with dots between them, * for one word, or > at the end for the rest.";
}

/** Whether a pattern matches an event type. */
export function matches(pattern: string, eventType: string): boolean {
  if (pattern === ">") {
    return eventType !== "";
  }
  const types = eventType.split(".");
  if (!types.every(isPlain)) {
    return false;
  }
  const words = pattern.split(".");
  for (const [index, word] of words.entries()) {
    const type = types[index];
    if (type === undefined) {
      return false;
    }
    if (word === ">") {
      return true;
    }
    if (word !== "*" && word !== type) {
      return false;
    }
  }
  return words.length === types.length;
}

/** Whether a text is an event type that the host accepts. */
export function isEventType(text: string): boolean {
  return text !== "" && new TextEncoder().encode(text).length <= MOST_BYTES && !hasForbidden(text);
}

function isPlain(word: string): boolean {
  return word !== "" && !/[*>]|\p{White_Space}/u.test(word) && !hasForbidden(word);
}

/** Whether a text has a control character or a noncharacter (CloudEvents 1.0.2, section 3.1). */
function hasForbidden(text: string): boolean {
  return /\p{Cc}|\p{Noncharacter_Code_Point}|\p{Cs}/u.test(text);
}
