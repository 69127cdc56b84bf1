// Maps stack traces to a plugin's own files and lines, with the map that the build writes (tools/lines.js).

/** A frame's position: a file, a line and perhaps a column, in V8's form, QuickJS's and SpiderMonkey's. */
const POSITION = /([^\s()@]+?):(\d+)(?::\d+)?(?=\)?$)/;

/** The source's own position for one in the bundle; undefined for what no source has written. */
function positionOf(line) {
  const { runs, sources } = globalThis.__sandbusLines;
  const run = runs.findLast(([first]) => first <= line);
  return run === undefined ? undefined : `${sources[run[1]]}:${run[2] + line - run[0]}`;
}

function isBundle(file) {
  const { bundle } = globalThis.__sandbusLines ?? {};
  return bundle === undefined || file === bundle || file.endsWith(`/${bundle}`);
}

/** A frame with the source's own file and line. */
function locate(frame) {
  if (globalThis.__sandbusLines === undefined) return frame;
  return frame.replace(POSITION, (whole, file, line) => (isBundle(file) && positionOf(Number(line))) || whole);
}

/** The frames of a stack, each as `at NAME (FILE:LINE)`, with the sources' own lines. */
function framesOf(stack) {
  const lines = stack.split("\n").map((line) => line.trim());
  // V8 repeats the message before the frames; SpiderMonkey has `name@file:line:column`.
  const frames = lines.flatMap((line) => {
    if (line.startsWith("at ")) return [line];
    const found = /^([^@\s]*)@(.+:\d+:\d+)$/.exec(line);
    if (found === null) return [];
    // The name of a nested function is its whole path.
    const name = found[1].replace(/^.*[/<]/, "");
    return [name === "" ? `at ${found[2]}` : `at ${name} (${found[2]})`];
  });
  return frames.map(locate);
}

/** Whether a frame is of no interest to a plugin's author: the SDK's, what the build adds, or what the engine has. */
function isForeign(frame) {
  // StarlingMonkey wraps the bundle in a module.
  if (frame.includes("@sandbus/sdk") || frame.includes("sources/initializer.js") || /\(native\)|\(?<native>\)?$/.test(frame)) return true;
  const file = POSITION.exec(frame)?.[1];
  return globalThis.__sandbusLines?.bundle !== undefined && file !== undefined && isBundle(file);
}

/** How many lines of a stack are worth their place in a reason. */
const FRAMES = 8;

/** The frames of an error that lie in the plugin's own files. */
export function frames(error) {
  let stack;
  try {
    ({ stack } = error);
  } catch {
    // A plugin may have set it to anything.
  }
  if (typeof stack !== "string") return [];
  return framesOf(stack)
    .filter((frame) => !isForeign(frame))
    .slice(0, FRAMES);
}

/** A text in which positions of the bundle are those of the sources: a stack that a plugin has put into a message. */
export function located(text) {
  const bundle = globalThis.__sandbusLines?.bundle;
  if (bundle === undefined || !text.includes(bundle)) return text;
  return text.replace(/([^\s()@]+?):(\d+)(?::\d+)?/g, (whole, file, line) => {
    return (isBundle(file) && positionOf(Number(line))) || whole;
  });
}

/** Where the caller is, as the engine writes a stack. */
export function trace() {
  const { stack } = new Error();
  return typeof stack === "string" ? stack : "";
}

/** The innermost of a plugin's own lines in what `trace` has taken; empty if there is none. */
export function innermost(stack) {
  const frame = framesOf(stack).find((each) => !isForeign(each));
  return frame === undefined ? "" : (POSITION.exec(frame)?.[0] ?? "");
}
