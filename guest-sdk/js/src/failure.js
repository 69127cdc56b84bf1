// How a handler fails: tried again, or given up.

import { milliseconds } from "./duration.js";

/** Thrown by a handler, the delivery is tried again. */
export class Retry extends Error {
  constructor(reason, { delay } = {}) {
    super(String(reason));
    this.name = "Retry";
    this.delayMs = milliseconds(delay, "delay");
  }
}

/** Thrown by a handler, the delivery becomes a dead letter at once. */
export class Reject extends Error {
  constructor(reason) {
    super(String(reason));
    this.name = "Reject";
  }
}

/** The bus refused what a plugin asked of it: `kind` is "denied", "invalid" or "limit". */
export class BusError extends Error {
  constructor(kind, reason) {
    super(reason);
    this.name = "BusError";
    this.kind = kind;
  }
}

/** A request that has no answer, or not one that was wanted. */
export class SendError extends Error {
  constructor(kind, reason, status) {
    super(reason);
    this.name = "SendError";
    this.kind = kind;
    this.status = status;
  }

  /** Whether waiting cannot help. */
  get permanent() {
    if (this.kind !== "status") return this.kind === "denied" || this.kind === "invalid";
    return this.status >= 400 && this.status < 500 && ![408, 425, 429].includes(this.status);
  }
}

export function retry(reason, options) {
  return new Retry(reason, options);
}

export function reject(reason) {
  return new Reject(reason);
}

/** What a handler has thrown, as the contract has it. */
export function failure(thrown) {
  if (thrown instanceof Retry) return { tag: "retry", val: { delayMs: thrown.delayMs, reason: thrown.message } };
  // What the bus refuses now it will refuse at the next attempt as well.
  if (thrown instanceof Reject || thrown instanceof BusError || (thrown instanceof SendError && thrown.permanent))
    return { tag: "reject", val: thrown.message };
  if (thrown instanceof SendError) return { tag: "retry", val: { delayMs: null, reason: thrown.message } };
  return { tag: "retry", val: { delayMs: null, reason: describe(thrown) } };
}

/**
 * What kind of failure it is, where the handler has not said it itself: a mistake in the handler, or a request to another
 * service that has no answer, or not one that was wanted.
 */
export function kind(thrown) {
  if (thrown instanceof Retry || thrown instanceof Reject || thrown instanceof BusError) return null;
  return thrown instanceof SendError ? "request" : "exception";
}

/** How many causes of an error are told. */
const CAUSES = 8;

/** What was thrown, with its causes and where it comes from. */
export function describe(thrown) {
  if (!(thrown instanceof Error)) return `uncaught: ${shown(thrown)}`;
  const lines = [];
  for (let error = thrown, told = 0; error instanceof Error && told < CAUSES; error = error.cause, told++) {
    lines.push(`${lines.length === 0 ? "uncaught " : "caused by "}${error.name}: ${error.message}`, ...frames(error));
  }
  return lines.join("\n");
}

function shown(thrown) {
  if (typeof thrown === "string") return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return String(thrown);
  }
}

/** How many lines of a stack are worth their place in a reason. */
const FRAMES = 8;

/** The frames of an error's stack that lie in the plugin's own files, as far as they are known. */
function frames(error) {
  const stack = typeof error.stack === "string" ? error.stack : "";
  // V8 repeats the message before the frames.
  const all = stack
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("at "));
  return all
    .map(locate)
    .filter((line) => !line.includes("@sandbus/sdk"))
    .slice(0, FRAMES)
    .map((line) => `    ${line}`);
}

/** A frame with the source's own file and line, where the build has left a map of them (see tools/lines.js). */
function locate(frame) {
  const map = globalThis.__sandbusLines;
  if (map === undefined) return frame;
  return frame.replace(/\(?[^\s()]*?:(\d+)(?::\d+)?\)?$/, (whole, text) => {
    const line = Number(text);
    const run = map.runs.findLast(([first]) => first <= line);
    return run === undefined ? whole : `(${map.sources[run[1]]}:${run[2] + line - run[0]})`;
  });
}
