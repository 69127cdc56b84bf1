// The difficult parts of a component in JavaScript: random numbers, clocks, texts that are not valid in UTF-8, repeated
// headers, and failures of each kind.

import * as client from "@sandbus/sdk/client";
import * as common from "./common.cjs";
import { config, log, plugin, publish, randomBytes, reject, retry, state, subscribe } from "@sandbus/sdk";

// Created when the module is loaded, as packages do.
const { random } = Math;
const loaded = { date: Date.now(), chance: Math.random() };

const TEXTS = { high: "a\ud800b", low: "\udc00", reversed: "\udc00\ud800", nul: "a\0b", long: "ä".repeat(100_000) };

const CALLS = {
  get: (text) => state.get(text),
  set: (text) => state.set(text, 1),
  value: (text) => state.set("value", { [text]: text }),
  remove: (text) => state.delete(text),
  increment: (text) => state.increment(text),
  keys: (text) => state.keys(text),
  config: (text) => config.get(text),
  log: (text) => log.info(text.slice(0, 10), { [text.slice(0, 10)]: 1 }),
  type: (text) => publish(`probe.${text}`),
  subject: (text) => publish("probe.seen", 1, { subject: text }),
  data: (text) => publish("probe.seen", { [text]: text }),
  mediaType: (text) => publish("probe.seen", "1", { contentType: text }),
  schema: (text) => publish("probe.seen", 1, { schema: text }),
  extensionName: (text) => publish("probe.seen", 1, { extensions: { [text]: "a" } }),
  extension: (text) => publish("probe.seen", 1, { extensions: { tag: text } }),
  subscription: (text) => subscribe({ name: text, pattern: text, to: { plugin: text } }),
  webhook: (text) => subscribe({ name: "hook", pattern: "a", to: { webhook: text, secret: text } }),
  rules: (text) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, orderingKey: text }),
  unnamed: (text) => state.get({ text }),
  bytes: (text) => state.setBytes("bytes", text),
  concurrency: () => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, concurrency: 2 ** 40 }),
  delay: () => publish("probe.seen", 1, { delay: 1e300 }),
};

function tried(call, text) {
  try {
    call(text);
    return "carried";
  } catch (error) {
    return `${error.name}: ${error.message}`.slice(0, 200);
  }
}

/** Ways to use more memory than the limit. */
const HOARDS = {
  "out-of-memory": () => {
    const all = [];
    for (;;) all.push(new Array(10_000).fill(0));
  },
  "out-of-memory in a promise": () => void Promise.resolve().then(HOARDS["out-of-memory"]),
  "out-of-memory at once": () => new Uint8Array(500_000_000),
  "exception": () => {
    try {
      HOARDS["out-of-memory"]();
    } catch {
      throw new TypeError("there was too little memory");
    }
  },
  "exception null": () => {
    throw null;
  },
  "acknowledged": () => {
    try {
      HOARDS["out-of-memory"]();
    } catch {
      state.set("went on", true);
    }
  },
};

function returned(call) {
  try {
    return call();
  } catch (error) {
    // The reason of a rejection has the lines of the sources.
    const [place] = /\w+\.c?js:\d+/.exec(reject(String(error.stack)).message) ?? [];
    return `${error.name} at ${place}`;
  }
}

const THROWN = {
  retry: () => retry("later"),
  reject: () => reject("never"),
  lone: () => new Error("a\ud800b", { cause: new RangeError("\udc00") }),
  type: () => new TypeError("odd"),
};

/** What differs between a module and a script, each in a function of its own. Common.cjs has the same in CommonJS. */
const STRICT = {
  "this of a function": () => (function () { return typeof this; })(),
  "this of a method that lost its object": () => ((0, { self() { return typeof this; } }.self))(),
  "this of a number": () => (function () { return typeof this; }).call(1),
  "this of a callback": () => [1].map(function () { return typeof this; })[0],
  "undeclared": () => { undeclaredName = 1; },
  "frozen": () => { Object.freeze({ a: 1 }).a = 2; },
  "frozen array": () => { Object.freeze([1]).push(2); },
  "read-only": () => { Object.defineProperty({}, "a", { value: 1 }).a = 2; },
  "only a getter": () => { ({ get a() { return 1; } }).a = 2; },
  "no extensions": () => { Object.preventExtensions({}).a = 1; },
  "property of a text": () => { "text".length = 1; },
  "undefined": () => { globalThis.undefined = 1; },
  "delete": () => delete Object.freeze({ a: 1 }).a,
  "arguments": () => (function (a) { arguments[0] = 2; return a; })(1),
  "arguments of the module": () => typeof arguments,
  "callee": () => (function () { return arguments.callee; })(),
  "function in a block": () => { { function inner() {} } return typeof inner; },
  "the function's own name": () => (function own() { own = 1; })(),
};

function deep() {
  return 1 + deep();
}

const never = new Promise(() => {});

async function saved(name) {
  await null;
  state.set(name, true);
}

/** Work that a handler does not wait for, each under the key that it sets. */
const LEFT = {
  "then": (key) => void Promise.resolve().then(() => state.set(key, true)),
  "chain": (key) => void Promise.reject(1).catch((one) => one + 1).finally(() => {}).then(() => saved(key)),
  "microtask": (key) => queueMicrotask(() => queueMicrotask(() => state.set(key, true))),
  "timer": (key) => void setTimeout(() => saved(key)),
  "async": (key) => void saved(key),
  "awaited": (key) => saved(key),
  "all": async (key) => void (await Promise.all([1, saved(key), Promise.resolve()])),
  "settled": async (key) => void (await Promise.allSettled([Promise.reject(1), saved(key)])),
  "any": async (key) => void (await Promise.any([Promise.reject(1), saved(key)])),
  "race": async (key) => void (await Promise.race([never, saved(key)])),
  "generator": async (key) => {
    async function* steps() {
      yield await Promise.resolve(key);
    }
    for await (const step of steps()) state.set(step, true);
  },
  "import": async (key) => void state.set(key, (await import("./later.js")).isThere),
  "thenable": async (key) => void state.set(key, await { then: (resolve) => resolve(true) }),
  "resolvers": async (key) => {
    const { promise, resolve } = Promise.withResolvers();
    queueMicrotask(resolve);
    await promise;
    state.set(key, true);
  },
  "late": (key) => {
    const rejected = Promise.reject(new Error("handled later"));
    queueMicrotask(() => rejected.catch(() => state.set(key, true)));
  },
  "array": async (key) => void state.set(key, (await Array.fromAsync([Promise.resolve(true)]))[0]),
};

/** Work that cannot be done, or that fails. Nothing of the invocation may be kept. */
const FAILS = {
  "never awaited": async () => void (await new Promise(() => {})),
  "never left": () => void never.then(() => {}),
  "never in async": () => void (async () => void (await never))(),
  "rejected": () => void Promise.reject(new Error("floats")),
  "rejected text": () => void Promise.reject("floats"),
  "rejected in async": () => void (async () => { await 1; throw new TypeError("floats"); })(),
  "thrown in then": () => void Promise.resolve().then(() => { throw new RangeError("floats"); }),
  "thrown in microtask": () => queueMicrotask(() => { throw new RangeError("floats"); }),
  "thrown in timer": () => void setTimeout(() => { throw new RangeError("floats"); }),
  "waits": () => void setTimeout(() => {}, 100),
  "repeats": () => void setInterval(() => {}, 100),
  "chosen": () => void (async () => { throw reject("floats"); })(),
};

function leaves(how) {
  if (how in LEFT) return LEFT[how](`left ${how}`);
  state.set(`kept ${how}`, true);
  return FAILS[how]();
}

export default plugin({ publishes: [">"], subscribes: [">"] })
  .on("probe.leaves", { retry: { maxAttempts: 1 } }, ({ how }) => leaves(how))
  .route("POST /js/leaves", (request) => leaves(request.json().how))
  .route("GET /js/left", () => ({ json: { keys: state.keys(), left: Object.keys(LEFT), fails: Object.keys(FAILS) } }))
  .route("POST /js/forget", () => state.keys().forEach((key) => state.delete(key)))
  .route("GET /js/random", () => ({ json: [randomBytes(5_000_000).length, tried(() => randomBytes(2 ** 30))] }))
  .on("probe.js", () => {
    const numbers = { random: Math.random(), kept: random(), bytes: randomBytes(8).join("-") };
    log.info(`drawn ${JSON.stringify(numbers)}`);
  })
  .on("probe.fails", { retry: { maxAttempts: 1 } }, ({ how }) => {
    if (how === "deep") deep();
    // A port on which nobody listens.
    if (how === "request") client.get("http://127.0.0.1:1/");
    throw THROWN[how]();
  })
  .on("probe.hoards", { retry: { maxAttempts: 1 } }, ({ how }) => HOARDS[how]())
  .route("POST /js/hoards", (request) => HOARDS[request.json().how]())
  .route("GET /js/chatter", () => {
    for (let line = 0; line < 2_000; line++) log.info("x".repeat(200));
    throw new Error(`the reason ${"y".repeat(100_000)}`);
  })
  .on("probe.schema", { schema: { type: "object", properties: { order_id: { type: "integer" } } } }, () => {})
  .route("GET /js/chance", () => {
    const chance = [Math.random(), random(), Math.random(), crypto.randomUUID()];
    const clock = { elapsed: performance.now(), since: Date.now() - loaded.date, zone: new Date().getTimezoneOffset() };
    return { json: { chance, clock, loaded: loaded.chance } };
  })
  .route("GET /js/texts", () => ({
    json: Object.entries(CALLS).flatMap(([name, call]) =>
      Object.entries(TEXTS).map(([text, value]) => [`${name} ${text}`, tried(call, value)]),
    ),
  }))
  .route("GET /js/answers/{text}", ({ params }) => ({
    text: TEXTS[params.text],
    headers: { "x-text": params.text === "long" ? "ä" : TEXTS[params.text].replaceAll("\0", "") },
  }))
  .route("GET /js/cookies", (request) => ({
    json: [request.headerValues("x-tag"), request.header("x-tag"), new TextDecoder().decode(new Uint8Array([0xff]))],
    headers: { "Set-Cookie": ["a=1; Path=/", "b=2"] },
  }))
  .route("GET /js/strict", () => ({
    json: Object.entries({ ...STRICT, ...common.strict }).map(([name, call]) => [name, returned(call)]),
  }))
  .route("GET /js/sum", () => {
    state.setBytes("sum", new TextEncoder().encode("9007199254740993"));
    return { json: tried(() => state.increment("sum")) };
  });
