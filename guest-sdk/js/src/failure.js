// The failures of a handler: retry or reject.

import { milliseconds } from "./duration.js";
import { DELIBERATE } from "./jobs.js";
import { checkNames } from "./rules.js";
import { show } from "./show.js";
import { frames, located } from "./stack.js";

/** Thrown by a handler, the delivery is tried again. */
export class Retry extends Error {
  constructor(reason, options = {}) {
    super(reasonOf(reason));
    this.name = "Retry";
    checkNames(options, ["delay"], "retry");
    this.delayMs = milliseconds(options.delay, "retry: delay");
  }
}

function reasonOf(reason) {
  return reason === undefined ? "the handler gave no reason" : located(show(reason));
}

/** Thrown by a handler, the delivery becomes a dead letter at once. */
export class Reject extends Error {
  constructor(reason) {
    super(reasonOf(reason));
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
    const hint = hintFor(error, message);
    if (hint !== undefined) lines.push(`    ${hint}`);
    for (const each of errorsOf(error)) {
      const part = partsOf(each);
      lines.push(`one of them ${part.name}${part.message}`, ...frames(each).map((frame) => `    ${frame}`));
    }
    if (cause === undefined || cause === null) break;
    error = cause;
  }
  return located(lines.join("\n"));
}

/** The errors that an AggregateError has gathered. */
function errorsOf(error) {
  try {
    return error instanceof AggregateError && Array.isArray(error.errors) ? error.errors.slice(0, CAUSES) : [];
  } catch {
    return [];
  }
}

/** What to do about an error, where that is known. */
function hintFor(error, message) {
  if (error instanceof ReferenceError) return absent(message);
  // QuickJS throws a RangeError, and StarlingMonkey an InternalError.
  if (/^(Maximum call stack size exceeded|too much recursion)$/.test(message)) return TOO_DEEP_CALLS;
  return undefined;
}

const TOO_DEEP_CALLS = "a function calls itself endlessly, or more often than the stack allows; use a loop and a list instead";

const NODE = ["Buffer", "process", "require", "module", "exports", "global", "__dirname", "__filename"];
const BROWSER = ["window", "document", "navigator", "location", "localStorage", "sessionStorage", "alert", "XMLHttpRequest"];
/** What StarlingMonkey has, and QuickJS lacks. */
const WEB = [
  ...["URL", "URLSearchParams", "structuredClone", "AbortController", "AbortSignal", "Blob", "Event", "EventTarget", "Intl"],
  ...["Headers", "Request", "Response", "FormData", "ReadableStream", "WritableStream", "TransformStream", "self"],
  ...["CompressionStream", "DecompressionStream", "DOMException", "File"],
];
const STARLINGMONKEY = '"sandbus": { "engine": "starlingmonkey" } in package.json chooses an engine that has it';

/** What to do instead of using what neither engine has. */
const INSTEAD = {
  fetch: 'send requests with `import * as client from "@sandbus/sdk/client"`',
  WebSocket: 'a component has no sockets; send requests with `import * as client from "@sandbus/sdk/client"`',
  EventSource: 'a component has no sockets; send requests with `import * as client from "@sandbus/sdk/client"`',
  Worker: "a component has one thread; publish an event for work to be done elsewhere",
  Atomics: "a component has one thread; read and write the value directly",
  SharedArrayBuffer: "a component has one thread; use an ArrayBuffer",
  WebAssembly: "a component cannot load other modules; build them into a component of their own",
  Temporal: "neither engine has `Temporal`; use Date, or bundle the package `temporal-polyfill`",
  WeakRef: "the engine has no `WeakRef`; an instance lives for one call, so keep the object itself, or use a WeakMap",
  FinalizationRegistry: "the engine has no `FinalizationRegistry`; an instance lives for one call",
  indexedDB: 'keep data in the state: `import { state } from "@sandbus/sdk"`',
  localStorage: 'keep data in the state: `import { state } from "@sandbus/sdk"`',
  sessionStorage: 'keep data in the state: `import { state } from "@sandbus/sdk"`',
};

/** The advice for a global name that the platform lacks. */
function absent(message) {
  const name = /^'?(\w+)'? is not defined$/.exec(message)?.[1];
  if (Object.hasOwn(INSTEAD, name ?? "")) return INSTEAD[name];
  if (NODE.includes(name)) return `\`${name}\` belongs to Node.js, and a component does not run on it`;
  if (BROWSER.includes(name)) return `\`${name}\` belongs to browsers, and a component does not run in one`;
  return WEB.includes(name) ? `QuickJS lacks \`${name}\`; ${STARLINGMONKEY}` : undefined;
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
