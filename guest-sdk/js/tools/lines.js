// Reduces a source map to what the SDK needs to map stack lines: runs of bundle lines that are successive lines of one
// source, as [line in the bundle, index of the source, line in the source].

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The map of a bundle's lines. `name` says what a source is called. */
export function lineMap(sourceMap, name) {
  const { sources, mappings } = JSON.parse(sourceMap);
  const runs = [];
  for (const [line, source, sourceLine] of starts(mappings)) {
    const last = runs.at(-1);
    const goesOn = last !== undefined && last[1] === source && sourceLine - last[2] === line - last[0];
    if (!goesOn) runs.push([line, source, sourceLine]);
  }
  return { sources: sources.map(name), runs };
}

/** Where each line of the bundle begins in the sources; lines count from 1. */
function* starts(mappings) {
  let source = 0;
  let sourceLine = 0;
  for (const [index, line] of mappings.split(";").entries()) {
    let first = null;
    for (const segment of line.split(",").filter((text) => text !== "")) {
      const [, sourceStep, lineStep] = numbers(segment);
      if (sourceStep === undefined) continue;
      source += sourceStep;
      sourceLine += lineStep;
      first ??= [index + 1, source, sourceLine + 1];
    }
    if (first !== null) yield first;
  }
}

/** The numbers of a segment: base64 digits of five bits, the lowest first, with the sign in the lowest bit. */
function numbers(segment) {
  const found = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    found.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return found;
}
