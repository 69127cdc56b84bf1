/** JSON with all digits of its numbers. Browsers round numbers to 64 bits, but events may have others. */

interface Context {
  source?: string;
}

/** The parts of the JSON object that TypeScript does not know yet. Older browsers lack them. */
interface ExactJson {
  rawJSON?: (text: string) => object;
  isRawJSON?: (value: unknown) => boolean;
  parse: (text: string, reviver: (name: string, value: unknown, context?: Context) => unknown) => unknown;
}

const json = JSON as ExactJson;

/** Parses JSON. A number that JavaScript writes differently becomes an object that `JSON.stringify` writes as it was. */
export function parseExact(text: string): unknown {
  return json.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source !== undefined && context.source !== String(value) && json.rawJSON
      ? json.rawJSON(context.source)
      : value,
  );
}

/** Whether a value is a number that `parseExact` has kept as text. */
export function isExactNumber(value: unknown): boolean {
  return json.isRawJSON?.(value) ?? false;
}
