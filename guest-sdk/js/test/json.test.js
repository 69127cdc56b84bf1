import assert from "node:assert/strict";
import { test } from "node:test";

import { Problem, log, plugin, publish, randomBytes, reject, state } from "@sandbus/sdk";
import { FakeHost } from "@sandbus/sdk/testing";

import { console as ours } from "../src/console.js";

const cyclic = { a: [{}] };
cyclic.a[0].again = cyclic;

/** Values that JSON lacks (RFC 8259, section 3), with the path and the type that the error must name. */
const MISFITS = {
  "NaN": [{ price: NaN }, "/price", "NaN"],
  "Infinity": [[1, -Infinity], "/1", "-Infinity"],
  "a Map": [{ a: { b: new Map() } }, "/a/b", "Map"],
  "a Set": [{ tags: new Set(["a"]) }, "/tags", "Set"],
  "a WeakMap": [{ a: new WeakMap() }, "/a", "WeakMap"],
  "a Promise": [{ user: Promise.resolve(1) }, "/user", "Promise"],
  "a thenable": [{ user: { then: () => {} } }, "/user", "Promise"],
  "a BigInt": [{ id: 1n }, "/id", "a BigInt"],
  "a function": [{ "a/b": () => {} }, "/a~1b", "a function"],
  "a symbol": [{ a: Symbol("s") }, "/a", "a symbol"],
  "undefined in an array": [{ list: [1, undefined] }, "/list/1", "undefined"],
  "a hole": [{ list: [, 1] }, "/list/0", "undefined"],
  "a cycle": [cyclic, "/a/0/again", "contains itself"],
  "an Error": [{ failed: new Error("x") }, "/failed", "Error"],
  "a RegExp": [{ pattern: /a/ }, "/pattern", "RegExp"],
  "bytes": [{ data: new Uint8Array(2) }, "/data", "bytes"],
  "a buffer": [{ data: new ArrayBuffer(2) }, "/data", "ArrayBuffer"],
  "an invalid Date": [{ at: new Date(NaN) }, "/at", "an invalid Date"],
  "a generator": [{ all: (function* () {})() }, "/all", "Generator"],
};

for (const [name, [value, path, kind]] of Object.entries(MISFITS)) {
  test(`${name} in what a handler hands over is an error that says where`, () => {
    const host = new FakeHost(
      plugin({ name: "things", publishes: [">"] })
        .on("published", () => void publish("thing.seen", value))
        .on("stored", () => state.set("last", value))
        .route("GET /answer", () => ({ json: value })),
    );
    for (const type of ["published", "stored"]) {
      const { outcome, reason } = host.deliver(type, {});
      assert.equal(outcome, "retry");
      assert.ok(reason.includes(` at ${path}: it is `) && reason.includes(kind), reason);
    }
    assert.equal(host.request("GET /answer").status, 500);
    assert.ok(host.logs[0].includes(`route GET /answer: the body cannot be written as JSON at ${path}`), host.logs[0]);
    assert.deepEqual([host.state, host.published], [{}, []]);
  });
}

test("JSON is written as JavaScript writes it", () => {
  class Money {
    constructor() {
      this.amount = 1;
    }
  }
  const host = new FakeHost(plugin({ name: "things" }));
  const kept = { date: new Date(0), left: undefined, list: [null, -0, "a"], own: new Money(), made: { toJSON: () => [1] } };
  host.run(() => state.set("a", kept));
  assert.deepEqual(host.state, {
    a: { date: "1970-01-01T00:00:00.000Z", list: [null, 0, "a"], own: { amount: 1 }, made: [1] },
  });
  host.run(() => assert.throws(() => state.set("a", undefined), /it is undefined/));
});

/** Invalid responses, each with a part of the log line. */
const ANSWERS = {
  "a number": [7, /a number/],
  "an array": [[1], /an array/],
  "a Map": [new Map([["json", 1]]), /a Map/],
  "bytes": [new Uint8Array(1), /bytes/],
  "undefined JSON": [{ json: undefined }, /`json` is undefined/],
  "two bodies": [{ json: 1, text: "a" }, /choose one of json and text/],
  "an object as text": [{ text: {} }, /`text` must be a string/],
  "a text as body": [{ body: "a" }, /must be a Uint8Array/],
  "a body with 204": [{ status: 204, json: 1 }, /status 204 has no body/],
  "a body with 205": [{ status: 205, text: "a" }, /status 205 has no body/],
  "a body with 304": [{ status: 304, body: new Uint8Array(1) }, /status 304 has no body/],
  "an informational status": [{ status: 101 }, /from 200 to 599, not 101/],
  "status 600": [{ status: 600 }, /from 200 to 599, not 600/],
  "status NaN": [{ status: NaN }, /from 200 to 599, not NaN/],
  "a status in text": [{ status: "200" }, /not string/],
  // RFC 9110, sections 5.1 and 5.5.
  "a header's name with a space": [{ headers: { "x y": "a" } }, /"x y" is not the name of a header/],
  "a header without a name": [{ headers: { "": "a" } }, /"" is not the name/],
  "a header's name beyond ASCII": [{ headers: { "größe": "a" } }, /is not the name/],
  "a header with a line break": [{ headers: { a: "b\r\nc: d" } }, /line break/],
  "a header with a control character": [{ headers: { a: "\x07" } }, /control character/],
  "an object as a header": [{ headers: { a: {} } }, /must be a string, not object/],
  "a Date as a header": [{ headers: { a: new Date() } }, /not a Date/],
  "a symbol as a header": [{ headers: { a: Symbol("s") } }, /not symbol/],
  "a function as a header": [{ headers: { a: () => 1 } }, /not function/],
  "headers in text": [{ headers: "a: b" }, /headers must be an object/],
  "headers that are no pairs": [{ headers: [["a"]] }, /a pair of name and value/],
};

for (const [name, [answer, told]] of Object.entries(ANSWERS)) {
  test(`${name} is refused as an answer, with the route`, () => {
    const host = new FakeHost(plugin({ name: "things" }).route("GET /a", () => answer));
    assert.equal(host.request("GET /a").status, 500);
    assert.match(host.logs[0], told);
    assert.match(host.logs[0], /route GET \/a/);
  });
}

test("a problem has a status from 400 to 599 and may be returned", () => {
  for (const status of [100, 199, 200, 204, 302, 399, 600, 1000])
    assert.throws(() => new Problem(status, "x"), new RegExp(`from 400 to 599, not ${status}`));
  const host = new FakeHost(plugin({ name: "things" }).route("GET /a", () => new Problem(404, "no such thing")));
  assert.deepEqual(host.request("GET /a").json(), { detail: "no such thing", status: 404, title: "Not Found" });
});

test("only the log gets the text of an uncaught error", () => {
  for (const thrown of [new Error("the password is 1234"), "the password is 1234", { password: 1234 }, null, undefined]) {
    const host = new FakeHost(plugin({ name: "things" }).route("GET /a", () => { throw thrown; }));
    const { status, body, text } = host.request("GET /a");
    assert.deepEqual([status, text().includes("1234"), JSON.parse(text()).code], [500, false, "handler-failed"], String(body));
    assert.match(host.logs[0], /route GET \/a failed: uncaught/);
  }
});

const hostile = {
  get name() {
    throw new Error("never");
  },
};
const endless = new Proxy({}, { ownKeys: () => { throw new Error("no keys"); }, get: () => { throw new Error("no field"); } });

test("values that cannot be inspected can be logged and thrown", () => {
  const values = {
    "a cycle": cyclic,
    "a getter that throws": hostile,
    "a proxy": endless,
    "a text that throws": { toString: () => { throw new Error("no text"); }, toJSON: () => { throw 1; } },
    "an object without a prototype": Object.create(null),
    "a symbol": Symbol("s"),
    "a BigInt": 10n ** 30n,
    "a function": () => {},
    "a huge list": Array.from({ length: 100_000 }, (_, index) => ({ index })),
    "a deep object": Array.from({ length: 5_000 }).reduce((inner) => ({ inner }), {}),
    "a Map and a Set": new Map([[new Set([1]), { a: 1 }]]),
    "an error whose message throws": Object.defineProperty(new Error(), "message", { get: () => { throw 1; } }),
    "an error that causes itself": (() => { const error = new Error("a"); error.cause = error; return error; })(),
    "a revoked proxy": (() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })(),
  };
  for (const [name, value] of Object.entries(values)) {
    const host = new FakeHost(
      plugin({ name: "things" })
        .on("logged", () => log.info(value, "after"))
        .on("thrown", () => { throw value; })
        .on("reason", () => { throw reject(value); }),
    );
    assert.deepEqual(host.deliver("logged", {}), { outcome: "ack" }, name);
    assert.ok(host.logs[0].endsWith(" after") && host.logs[0].length < 70_000, name);
    assert.equal(host.deliver("thrown", {}).outcome, "retry", name);
    assert.equal(host.deliver("reason", {}).outcome, "reject", name);
  }
  const host = new FakeHost(plugin({ name: "things" }));
  host.run(() => log.info({ a: [1, "b"], m: new Map([["k", NaN]]) }, 1n, undefined));
  assert.deepEqual(host.logs, ['{"a":[1,"b"],"m":Map {"k":NaN}} 1n undefined']);
});

test("many random bytes are fetched in chunks, and too many are an error", () => {
  const host = new FakeHost(plugin({ name: "things" }));
  host.run(() => {
    assert.equal(randomBytes(5_000_000).length, 5_000_000);
    for (const count of [2 ** 30, 5e9, -1, 1.5]) assert.throws(() => randomBytes(count), TypeError);
  });
});

test("a console formats its values, and has all usual methods", () => {
  const host = new FakeHost(plugin({ name: "things" }));
  host.run(() => {
    ours.log("%s is %d, %i and %f%%", "a", 1.5, "2.5", 2.5, { more: 1 });
    ours.log("%s %s", "one");
    ours.error("100%");
    ours.info("%d %j %o", Symbol("s"), cyclic);
    ours.assert(true, "not told");
    ours.assert(false, "told", 1);
    ours.group("a group");
    ours.groupEnd();
    ours.table([{ a: 1 }]);
    for (const name of Object.keys(ours)) ours[name](cyclic, hostile, Symbol("s"));
  });
  const told = ['a is 1, 2 and 2.5% {"more":1}', "one %s", "100%"];
  assert.deepEqual(host.logs.slice(0, 3), told);
  assert.deepEqual(host.logs.slice(4, 7), ["assertion failed told 1", "a group", '[{"a":1}]']);
});

test("the error for a name that the platform lacks says what to do", () => {
  for (const [name, told] of [["fetch", /client/], ["Buffer", /belongs to Node/], ["URL", /starlingmonkey/], ["Temporal", /temporal-polyfill/], ["WeakRef", /keep the object/], ["Intl", /starlingmonkey/], ["window", /belongs to browsers/], ["WebSocket", /no sockets/], ["Headers", /starlingmonkey/]]) {
    const host = new FakeHost(plugin({ name: "things" }).on("a", () => { throw new ReferenceError(`${name} is not defined`); }));
    assert.match(host.deliver("a", {}).reason, told);
  }
});
