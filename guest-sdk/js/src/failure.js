// The failures of a handler: retry or reject.

import { milliseconds } from "./duration.js";
import { DELIBERATE } from "./jobs.js";
import { isOutOfMemory } from "./memory.js";
import { checkNames } from "./rules.js";
import { show } from "./show.js";
import { frames, located } from "./stack.js";

/** If a handler throws it, the delivery is retried. */
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

/** If a handler throws it, the delivery becomes a dead letter at once. */
export class Reject extends Error {
  constructor(reason) {
    super(reasonOf(reason));
    this.name = "Reject";
  }
}

/** The bus refused a call. `kind` is "denied", "invalid" or "limit". */
export class BusError extends Error {
  constructor(kind, reason) {
    super(reason);
    this.name = "BusError";
    this.kind = kind;
  }
}

/**
 * The state refused a call. `kind` is "unreadable", "not-a-number", "out-of-range", "limit" or "other". Only after
 * "other" can another attempt succeed.
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

/** A request that failed, or whose response had a status that `success()` refused. */
export class SendError extends Error {
  constructor(kind, reason, status) {
    super(reason);
    this.name = "SendError";
    this.kind = kind;
    this.status = status;
  }

  /** Whether another attempt cannot succeed. */
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

/** The thrown value, or a text instead of a value that cannot be inspected, such as a revoked proxy. */
export function visible(thrown) {
  try {
    void (thrown instanceof Error);
    return thrown;
  } catch {
    return show(thrown);
  }
}

/** Converts a value that a handler threw to the contract's failure. */
export function failure(thrown) {
  if (thrown instanceof Retry) return { tag: "retry", val: { delayMs: thrown.delayMs, reason: thrown.message } };
  if (isRejection(thrown)) return { tag: "reject", val: thrown.message };
  if (thrown instanceof SendError) return { tag: "retry", val: { delayMs: null, reason: thrown.message } };
  return { tag: "retry", val: { delayMs: null, reason: describe(thrown) } };
}

/** Whether another attempt cannot succeed. If the bus or the state refuses a call, it refuses the same call again. */
function isRejection(thrown) {
  if (thrown instanceof Reject || thrown instanceof BusError) return true;
  return (thrown instanceof SendError || thrown instanceof StateError) && thrown.permanent;
}

/**
 * The cause of a failure: "request" for a failed request to another service, "out-of-memory", or "exception" for a
 * mistake in the handler.
 * Null if the handler chose the outcome itself.
 */
export function kind(thrown) {
  if (thrown instanceof Retry || (isRejection(thrown) && !(thrown instanceof SendError))) return null;
  if (thrown instanceof SendError) return "request";
  return isOutOfMemory(thrown) ? "out-of-memory" : "exception";
}

/** The maximum number of an error's causes that are described. */
const CAUSES = 8;

/** Describes a thrown value, with its causes and where it was thrown. */
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

/** The errors in an AggregateError. */
function errorsOf(error) {
  try {
    return error instanceof AggregateError && Array.isArray(error.errors) ? error.errors.slice(0, CAUSES) : [];
  } catch {
    return [];
  }
}

/** Advice for common errors. */
function hintFor(error, message) {
  if (error instanceof ReferenceError) return absent(message);
  // QuickJS throws a RangeError, and StarlingMonkey an InternalError.
  if (/^(Maximum call stack size exceeded|too much recursion)$/.test(message)) return TOO_DEEP_CALLS;
  return undefined;
}

const TOO_DEEP_CALLS = "a function calls itself endlessly, or more often than the stack allows; use a loop and a list instead";

const NODE = ["Buffer", "process", "require", "module", "exports", "global", "__dirname", "__filename"];
const BROWSER = ["window", "document", "navigator", "location", "localStorage", "sessionStorage", "alert", "XMLHttpRequest"];
/** Globals that StarlingMonkey has and QuickJS lacks. */
const WEB = [
  ...["URL", "URLSearchParams", "structuredClone", "AbortController", "AbortSignal", "Blob", "Event", "EventTarget", "Intl"],
  ...["Headers", "Request", "Response", "FormData", "ReadableStream", "WritableStream", "TransformStream", "self"],
  ...["CompressionStream", "DecompressionStream", "DOMException", "File"],
];
const STARLINGMONKEY = '"sandbus": { "engine": "starlingmonkey" } in package.json chooses an engine that has it';

/** Alternatives to globals that neither engine has. */
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

/** The parts of a thrown value to describe. It can be any value, even one that throws when it is inspected. */
function partsOf(error) {
  try {
    if (error instanceof Error) return { name: `${String(error.name)}: `, message: String(error.message), cause: error.cause };
  } catch {
    // It is described like any other value.
  }
  return { name: "", message: show(error) };
}

for (const outcome of [Retry, Reject, BusError, StateError, SendError]) outcome.prototype[DELIBERATE] = true;
