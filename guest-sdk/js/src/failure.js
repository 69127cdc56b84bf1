// How a handler fails: tried again, or given up.

import { milliseconds } from "./duration.js";
import { DELIBERATE } from "./jobs.js";
import { show } from "./show.js";
import { frames, located } from "./stack.js";

/** Thrown by a handler, the delivery is tried again. */
export class Retry extends Error {
  constructor(reason, { delay } = {}) {
    super(located(show(reason)));
    this.name = "Retry";
    this.delayMs = milliseconds(delay, "delay");
  }
}

/** Thrown by a handler, the delivery becomes a dead letter at once. */
export class Reject extends Error {
  constructor(reason) {
    super(located(show(reason)));
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

/**
 * The state refused a call: `kind` is "unreadable", "not-a-number", "out-of-range", "limit" or "other". Another attempt can
 * succeed only after an error of the kind "other".
 */
export class StateError extends Error {
  constructor(kind, reason, options) {
    super(reason, options);
    this.name = "StateError";
    this.kind = kind;
  }

  get permanent() {
    return this.kind !== "other";
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

/** What was thrown, or a text in its place where it cannot even be looked at, as with a proxy that is revoked. */
export function visible(thrown) {
  try {
    void (thrown instanceof Error);
    return thrown;
  } catch {
    return show(thrown);
  }
}

/** What a handler has thrown, as the contract has it. */
export function failure(thrown) {
  if (thrown instanceof Retry) return { tag: "retry", val: { delayMs: thrown.delayMs, reason: thrown.message } };
  if (isRejection(thrown)) return { tag: "reject", val: thrown.message };
  if (thrown instanceof SendError) return { tag: "retry", val: { delayMs: null, reason: thrown.message } };
  return { tag: "retry", val: { delayMs: null, reason: describe(thrown) } };
}

/** Whether another attempt cannot succeed. What the bus or the state refuses now, it will refuse at the next attempt too. */
function isRejection(thrown) {
  if (thrown instanceof Reject || thrown instanceof BusError) return true;
  return (thrown instanceof SendError || thrown instanceof StateError) && thrown.permanent;
}

/**
 * What kind of failure it is, where the handler has not said it itself: a mistake in the handler, or a request to another
 * service that has no answer, or not one that was wanted.
 */
export function kind(thrown) {
  if (thrown instanceof Retry || (isRejection(thrown) && !(thrown instanceof SendError))) return null;
  return thrown instanceof SendError ? "request" : "exception";
}

/** How many causes of an error are told. */
const CAUSES = 8;

/** What was thrown, with its causes and where it comes from. */
export function describe(thrown) {
  const lines = [];
  let error = thrown;
  for (let told = 0; told < CAUSES; told++) {
    const { name, message, cause } = partsOf(error);
    lines.push(`${told === 0 ? "uncaught" : "caused by"} ${name}${message}`, ...frames(error).map((frame) => `    ${frame}`));
    const hint = error instanceof ReferenceError ? absent(message) : undefined;
    if (hint !== undefined) lines.push(`    ${hint}`);
    if (cause === undefined || cause === null) break;
    error = cause;
  }
  return located(lines.join("\n"));
}

const OF_NODE = ["Buffer", "process", "require", "module", "exports", "global", "__dirname", "__filename"];
const OF_WEB = ["URL", "URLSearchParams", "structuredClone", "AbortController", "AbortSignal", "Blob", "Event", "EventTarget"];
const ENGINE = 'QuickJS has not; "sandbus": { "engine": "starlingmonkey" } in package.json chooses an engine that does';

/** What is told besides of a name that the platform lacks. */
function absent(message) {
  const name = /^'?(\w+)'? is not defined$/.exec(message)?.[1];
  if (name === "fetch") return 'requests are sent by `import * as client from "@sandbus/sdk/client"`';
  if (OF_NODE.includes(name)) return `\`${name}\` is a part of node, which a component has not`;
  return OF_WEB.includes(name) || name === "Intl" ? `\`${name}\` is what ${ENGINE}` : undefined;
}

/** What is told of something thrown. Anything can be, also what throws itself when it is looked at. */
function partsOf(error) {
  try {
    if (error instanceof Error) return { name: `${String(error.name)}: `, message: String(error.message), cause: error.cause };
  } catch {
    // It is told as any other value is.
  }
  return { name: "", message: show(error) };
}

for (const outcome of [Retry, Reject, BusError, StateError, SendError]) outcome.prototype[DELIBERATE] = true;
