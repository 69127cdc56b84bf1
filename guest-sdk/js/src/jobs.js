// Runs promises, microtasks and timers to their end before a handler's outcome is known. An engine runs its own queue
// only after a component's export has returned, when the host has the outcome already. So a component uses the SDK's
// queue; the build turns `async` functions into generators that use it. Under node, where tests run, nothing of this is
// installed.

import { isOutOfMemory } from "./memory.js";
import { show } from "./show.js";
import { innermost, trace } from "./stack.js";

const Native = globalThis.Promise;

/** The queue of jobs. Those before `head` are completed. */
let jobs = [];
let head = 0;
/** Rejected promises without a handler, with their reasons. */
let unhandled = new Map();
/** Reactions of this invocation that wait for a promise which has not settled. */
let waiting = new Set();
/** Timers that are due at once, by their ids. */
let timers = new Map();
let lastTimer = 0;
/** Whether an invocation is running. It runs the queue itself. */
let running = false;

/** Whether the SDK's promises have replaced the engine's. */
let installed = false;
/** Whether the engine runs its own queue before the export's promise counts as settled. */
let native = false;

function enqueue(job) {
  // While modules are loaded, the engine's own queue runs.
  if (!running && jobs.length === head) Native.resolve().then(drain);
  jobs.push(job);
}

/** Runs jobs until there are none, and then timers. Returns whether there were any. */
function drain() {
  const any = head < jobs.length || timers.size > 0;
  while (head < jobs.length || timers.size > 0) {
    const job = head < jobs.length ? nextJob() : nextTimer();
    job();
  }
  jobs = [];
  head = 0;
  return any;
}

function nextJob() {
  const job = jobs[head];
  jobs[head++] = undefined;
  // Completed jobs are removed in large parts.
  if (head === 4_096) {
    jobs = jobs.slice(head);
    head = 0;
  }
  return job;
}

function nextTimer() {
  const [[id, job]] = timers;
  timers.delete(id);
  return job;
}

/** Clears the queues. Call it at the start of an invocation: an earlier one may have left jobs in a reused instance. */
export function beginJobs() {
  jobs = [];
  head = 0;
  unhandled = new Map();
  waiting = new Set();
  timers = new Map();
  running = installed;
}

/** Fails an invocation that leaves promises which never settle, or whose rejection nobody handles. */
function checkNothingIsLeft() {
  for (const [promise, reason] of unhandled) throw rejected(promise, reason);
  for (const { on, isWanted, at } of waiting) {
    const where = at === null ? made(on) : `; it is waited for at ${innermost(at) || "an unknown place"}`;
    if (isWanted()) throw new Error(`a promise never settles, so the code that waits for it never runs${where}`);
  }
}

function rejected(promise, reason) {
  // A failure that the plugin chose counts even if it was not awaited.
  if (reason !== null && typeof reason === "object" && reason[DELIBERATE] === true) return reason;
  if (promise === null || isOutOfMemory(reason)) return reason;
  const what = reason instanceof Error ? "" : ` (${show(reason)})`;
  return new Error(`a promise was rejected, and nothing handles it${what}${made(promise)}`, { cause: reason });
}

/** Marks errors that are outcomes chosen by the plugin, such as Retry and Reject. */
export const DELIBERATE = Symbol.for("sandbus.deliberate");

function made(promise) {
  const where = innermost(originOf(promise) ?? "");
  return where === "" ? "" : `; it was made at ${where}`;
}

/**
 * Calls a handler, and waits until all its jobs are done. Passes its result to `accept`, or the value that it threw to
 * `refuse`. Returns a promise if the engine must run its own queue, or if the handler is asynchronous in a test.
 */
export function completed(call, accept, refuse) {
  let returned;
  try {
    returned = call();
    if (installed && !native) returned = settled(returned);
    else if (!installed && !isThenable(returned)) return accept(returned);
  } catch (thrown) {
    return ended(() => refuse(thrown));
  }
  if (installed && !native) return ended(() => attempt(() => accept(returned), refuse));
  const value = installed ? ticked(returned) : Native.resolve(returned);
  return value.then(accept).catch(refuse).finally(stop);
}

function attempt(act, refuse) {
  try {
    return act();
  } catch (thrown) {
    return refuse(thrown);
  }
}

function ended(act) {
  try {
    return act();
  } finally {
    stop();
  }
}

function stop() {
  running = false;
}

function isThenable(value) {
  return value !== null && typeof value === "object" && typeof value.then === "function";
}

/** The value of a handler's result after the queue has been drained. */
function settled(returned) {
  const outcome = watched(returned);
  drain();
  return outcome();
}

/** After this many turns of the engine's own queue without a new job, the handler's work counts as done. */
const IDLE_TURNS = 64;

/** Like `settled`, for an engine whose own promises are settled by its own queue. */
function ticked(returned) {
  return new Native((resolve, reject) => {
    let idle = 0;
    const outcome = watched(returned);
    const turn = () => {
      try {
        idle = drain() ? 0 : idle + 1;
        if (idle > IDLE_TURNS) resolve(outcome());
        else Native.resolve().then(turn);
      } catch (thrown) {
        reject(thrown);
      }
    };
    turn();
  });
}

/** Observes a handler's result. Returns a function that returns the value, or throws if there is none. */
function watched(returned) {
  if (!isThenable(returned)) {
    return () => {
      checkNothingIsLeft();
      return returned;
    };
  }
  let state = null;
  const promise = SandbusPromise.resolve(returned);
  promise.then(
    (value) => (state = { value }),
    (thrown) => (state = { thrown }),
  );
  return () => {
    if (state !== null && "thrown" in state) throw state.thrown;
    checkNothingIsLeft();
    if (state === null) throw new Error(`the handler's promise never settles${made(promise)}`);
    return state.value;
  };
}

const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;

/** Promises of ECMAScript 2025, section 27.2, on the queue above. */
export class SandbusPromise {
  #state = PENDING;
  #value = undefined;
  #reactions = [];
  #isHandled = false;
  /** Where the promise was created: a stack, or the promise that it was derived from. */
  #origin = null;

  constructor(executor) {
    if (typeof executor !== "function") throw new TypeError(`Promise resolver ${String(executor)} is not a function`);
    if (running && isTraced) this.#origin = trace();
    const { resolve, reject } = this.#resolvers();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  /** The stack where a promise was created; null if it is unknown. */
  static origin(promise) {
    let origin = promise;
    while (origin !== null && typeof origin === "object") origin = #origin in origin ? origin.#origin : null;
    return typeof origin === "string" ? origin : null;
  }

  #resolvers() {
    let isDone = false;
    const once = (act) => (value) => {
      if (isDone) return;
      isDone = true;
      act(value);
    };
    return { resolve: once((value) => this.#resolve(value)), reject: once((reason) => this.#settle(REJECTED, reason)) };
  }

  #resolve(value) {
    if (value === this) return this.#settle(REJECTED, new TypeError("a promise cannot be resolved with itself"));
    if (value === null || (typeof value !== "object" && typeof value !== "function"))
      return this.#settle(FULFILLED, value);
    let then;
    try {
      then = value.then;
    } catch (error) {
      return this.#settle(REJECTED, error);
    }
    if (typeof then !== "function") return this.#settle(FULFILLED, value);
    enqueue(() => {
      const { resolve, reject } = this.#resolvers();
      try {
        then.call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  #settle(state, value) {
    this.#state = state;
    this.#value = value;
    if (state === REJECTED && !this.#isHandled) unhandled.set(this, value);
    const reactions = this.#reactions;
    this.#reactions = [];
    for (const reaction of reactions) {
      waiting.delete(reaction);
      this.#react(reaction);
    }
  }

  #react({ fulfilled, rejected, resolve, reject }) {
    const [handler, otherwise] = this.#state === FULFILLED ? [fulfilled, resolve] : [rejected, reject];
    const value = this.#value;
    enqueue(() => {
      if (typeof handler !== "function") return otherwise(value);
      let result;
      try {
        result = handler(value);
      } catch (error) {
        return reject(error);
      }
      resolve(result);
    });
  }

  then(fulfilled, rejected) {
    const Species = speciesOf(this);
    const derived = capability(Species);
    if (#origin in derived.promise) derived.promise.#origin = this;
    return this.#when(fulfilled, rejected, derived, () => true);
  }

  /** Adds a reaction. `isWanted` tells at the end of the invocation whether anything depends on it. */
  #when(fulfilled, rejected, { promise, resolve, reject }, isWanted) {
    const reaction = { fulfilled, rejected, resolve, reject, on: this, isWanted, at: null };
    this.#isHandled = true;
    unhandled.delete(this);
    if (this.#state !== PENDING) this.#react(reaction);
    else {
      this.#reactions.push(reaction);
      if (running) waiting.add(reaction);
      // A promise created while modules load has no known location.
      if (running && originOf(this) === null) reaction.at = trace();
    }
    return promise;
  }

  catch(rejected) {
    return this.then(undefined, rejected);
  }

  finally(act) {
    if (typeof act !== "function") return this.then(act, act);
    const Species = speciesOf(this);
    return this.then(
      (value) => Species.resolve(act()).then(() => value),
      (reason) =>
        Species.resolve(act()).then(() => {
          throw reason;
        }),
    );
  }

  static get [Symbol.species]() {
    return this;
  }

  static resolve(value) {
    if (value !== null && typeof value === "object" && #state in value && value.constructor === this) return value;
    const { promise, resolve } = capability(this);
    resolve(value);
    return promise;
  }

  static reject(reason) {
    const { promise, reject } = capability(this, true);
    reject(reason);
    return promise;
  }

  static withResolvers() {
    return capability(this, true);
  }

  static try(act, ...given) {
    return new this((resolve) => resolve(act(...given)));
  }

  static all(promises) {
    const finish = ({ resolve }, values) => resolve(values);
    return collected(this, promises, finish, (keep) => [keep, null]);
  }

  static allSettled(promises) {
    const finish = ({ resolve }, outcomes) => resolve(outcomes);
    return collected(this, promises, finish, (keep) => [
      (value) => keep({ status: "fulfilled", value }),
      (reason) => keep({ status: "rejected", reason }),
    ]);
  }

  static any(promises) {
    const finish = ({ reject }, errors) => reject(new AggregateError(errors, "all promises were rejected"));
    return collected(this, promises, finish, (keep) => [null, keep]);
  }

  static race(promises) {
    return collected(this, promises, nothing, () => [null, null]);
  }

  /** Adds a reaction that is not needed after the whole is settled: the losers of a race may never settle. */
  static adopt(each, fulfilled, rejected, whole) {
    if (!(#state in each) || each.then !== SandbusPromise.prototype.then) return each.then(fulfilled, rejected);
    const isWanted = () => !(#state in whole) || whole.#state === PENDING;
    return each.#when(fulfilled, rejected, { promise: undefined, resolve: nothing, reject: nothing }, isWanted);
  }
}

Object.defineProperty(SandbusPromise.prototype, Symbol.toStringTag, { value: "Promise", configurable: true });
Object.defineProperty(SandbusPromise, "name", { value: "Promise" });
const { adopt, origin: originOf } = SandbusPromise;
delete SandbusPromise.adopt;
delete SandbusPromise.origin;

function nothing() {}

function speciesOf(promise) {
  const constructor = promise.constructor;
  return constructor === undefined ? SandbusPromise : (constructor[Symbol.species] ?? SandbusPromise);
}

/** Whether new promises record where they are created. */
let isTraced = true;

/** A promise of a class, with its resolving functions (section 27.2.1.5). */
function capability(Species, traced = false) {
  const made = { promise: null, resolve: null, reject: null };
  const before = isTraced;
  isTraced = traced;
  try {
    made.promise = new Species((resolve, reject) => Object.assign(made, { resolve, reject }));
  } finally {
    isTraced = before;
  }
  return made;
}

/**
 * The common part of `all`, `allSettled`, `any` and `race`. `reactions` gives the reactions to each promise, which keep
 * a value or settle the whole. `finish` settles the whole after all promises have kept a value.
 */
function collected(Species, promises, finish, reactions) {
  const whole = capability(Species, true);
  const kept = [];
  let open = 1;
  const close = () => {
    if (--open === 0) finish(whole, kept);
  };
  const keeper = (index) => {
    let isKept = false;
    return (entry) => {
      if (isKept) return;
      isKept = true;
      kept[index] = entry;
      close();
    };
  };
  try {
    let index = 0;
    for (const each of promises) {
      open++;
      const [fulfilled, rejected] = reactions(keeper(index++));
      adopt(Species.resolve(each), fulfilled ?? whole.resolve, rejected ?? whole.reject, whole.promise);
    }
    close();
  } catch (error) {
    whole.reject(error);
  }
  return whole.promise;
}

/** Array.fromAsync. The engine's function would use the engine's promises. */
async function fromAsync(items, map, self) {
  const all = [];
  if (items[Symbol.asyncIterator] ?? items[Symbol.iterator]) for await (const item of items) all.push(item);
  else for (let index = 0; index < items.length; index++) all.push(await items[index]);
  return map === undefined ? all : SandbusPromise.all(all.map((item, index) => map.call(self, item, index)));
}

function microtask(job) {
  if (typeof job !== "function") throw new TypeError("queueMicrotask takes a function");
  enqueue(() => guarded(job));
}

function guarded(job, ...given) {
  try {
    job(...given);
  } catch (error) {
    // The first failure is reported.
    if (!unhandled.has(null)) unhandled.set(null, error);
  }
}

function timer(name) {
  return (job, delay = 0, ...given) => {
    if (typeof job !== "function") throw new TypeError(`${name} takes a function`);
    if (Number(delay) > 0) {
      throw new Error(
        `${name}: a handler cannot wait for ${Number(delay)} ms; ` +
          `publish an event with { delay: ${Number(delay)} }, or declare a schedule`,
      );
    }
    if (!running) Native.resolve().then(drain);
    timers.set(++lastTimer, () => guarded(job, ...given));
    return lastTimer;
  };
}

function clearTimer(id) {
  timers.delete(id);
}

function setInterval() {
  throw new Error("setInterval: a handler ends and does not come again; declare a schedule");
}

/** Replaces the engine's functions. Call it before the plugin's modules are loaded. */
export function installJobs(isNativeToo) {
  installed = true;
  native = isNativeToo;
  globalThis.Promise = SandbusPromise;
  globalThis.queueMicrotask = microtask;
  globalThis.setTimeout = timer("setTimeout");
  globalThis.setImmediate = (job, ...given) => globalThis.setTimeout(job, 0, ...given);
  globalThis.clearTimeout = globalThis.clearImmediate = globalThis.clearInterval = clearTimer;
  globalThis.setInterval = setInterval;
  if (Array.fromAsync !== undefined) Array.fromAsync = fromAsync;
}

/** Runs the jobs that modules queued while they were loaded. Returns the first failure that nothing handles, or null. */
export function loaded() {
  drain();
  for (const [promise, reason] of unhandled) {
    const isTimer = promise === null;
    return { what: isTimer ? "a timer or microtask failed" : "a promise was rejected, and nothing handles it", reason };
  }
  return null;
}
