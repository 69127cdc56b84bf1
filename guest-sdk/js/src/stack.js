// Maps stack traces to a plugin's own files and lines, with the maps that the build writes (tools/lines.js).

/** A frame's position: a file, a line and perhaps a column, in V8's form, QuickJS's and SpiderMonkey's. */
const POSITION = /([^\s()@]+?):(\d+)(?::\d+)?(?=\)?$)/;

/** The maps of bundles, by the file name that the engine gives a bundle in a stack. The build sets them. */
const bundles = () => globalThis.__sandbusBundles ?? {};

/** The map of a bundle; undefined for other files. */
function mapOf(file) {
  const name = Object.keys(bundles()).find((each) => file === each || file.endsWith(`/${each}`));
  return name === undefined ? undefined : bundles()[name];
}

/** The source position for a position in a bundle; undefined if there is none. */
function positionOf(file, line) {
  const { runs, sources } = mapOf(file) ?? { runs: [] };
  const run = runs.findLast(([first]) => first <= line);
  return run === undefined ? undefined : `${sources[run[1]]}:${run[2] + line - run[0]}`;
}

/** Replaces the bundle's position in a frame by the source's. */
function locate(frame) {
  return frame.replace(POSITION, (whole, file, line) => positionOf(file, Number(line)) ?? whole);
}

/** The frames of a stack, each as `at NAME (FILE:LINE)`, with positions in the sources. */
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

/** Whether a frame belongs to the SDK, to generated code or to the engine, and not to the plugin. */
function isForeign(frame) {
  // StarlingMonkey wraps the bundle in a module.
  if (frame.includes("@sandbus/sdk") || frame.includes("sources/initializer.js")) return true;
  if (/\(native\)|\(?<native>\)?$/.test(frame)) return true;
  const file = POSITION.exec(frame)?.[1];
  return file !== undefined && mapOf(file) !== undefined;
}

/** The maximum number of a stack's frames in a reason. */
const FRAMES = 8;

/** The frames of an error that are in the plugin's own files. */
export function frames(error) {
  let stack;
  try {
    ({ stack } = error);
  } catch {
    // A plugin may have set it to any value.
  }
  if (typeof stack !== "string") return [];
  return framesOf(stack)
    .filter((frame) => !isForeign(frame))
    .slice(0, FRAMES);
}

/** Replaces positions in the bundle by those in the sources, for stacks that a plugin has put into a message. */
export function located(text) {
  if (!Object.keys(bundles()).some((name) => text.includes(name))) return text;
  return text.replace(/([^\s()@]+?):(\d+)(?::\d+)?/g, (whole, file, line) => positionOf(file, Number(line)) ?? whole);
}

/** The stack of the caller, in the engine's format. */
export function trace() {
  const { stack } = new Error();
  return typeof stack === "string" ? stack : "";
}

/** The innermost frame of a stack from `trace` that is the plugin's; empty if there is none. */
export function innermost(stack) {
  const frame = framesOf(stack).find((each) => !isForeign(each));
  return frame === undefined ? "" : (POSITION.exec(frame)?.[0] ?? "");
}
