import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Problem,
  cancel,
  config,
  log,
  plugin,
  publish,
  publishMany,
  randomBytes,
  reject,
  reply,
  retry,
  state,
  subscribe,
  unsubscribe,
} from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";
import { FakeHost } from "@sandbus/sdk/testing";

import { install } from "../src/host.js";

/** Unusual texts, some of which are not valid in UTF-8. */
const TEXTS = {
  "a lone high surrogate": "a\ud800b",
  "a lone low surrogate": "\udc00",
  "a reversed pair": "\udc00\ud800",
  NUL: "a\0b",
  "a long text": "ä".repeat(100_000),
};

/** Every call to the host that has a text, as a function of the text. */
const CALLS = {
  "state.get": (text) => state.get(text),
  "state.getBytes": (text) => state.getBytes(text),
  "state.set": (text) => state.set(text, 1),
  "a value": (text) => state.set("key", { [text]: text }),
  "state.setBytes": (text) => state.setBytes(text, new Uint8Array()),
  "state.delete": (text) => state.delete(text),
  "state.exists": (text) => state.exists(text),
  "state.increment": (text) => state.increment(text),
  "state.keys": (text) => state.keys(text),
  "config.get": (text) => config.get(text),
  "a log line": (text) => log.info(text, { [text]: text }, new Error(text)),
  "a type": (text) => publish(text),
  "data": (text) => publish("thing", { [text]: text }),
  "data in text": (text) => publish("thing", text, { contentType: "text/plain" }),
  "a subject": (text) => publish("thing", 1, { subject: text }),
  "a content type": (text) => publish("thing", "1", { contentType: text }),
  "a data schema": (text) => publish("thing", 1, { schema: text }),
  "an extension's name": (text) => publish("thing", 1, { extensions: { [text]: "a" } }),
  "an extension's value": (text) => publish("thing", 1, { extensions: { a: text } }),
  "a time": (text) => publish("thing", 1, { at: text }),
  "a type of several": (text) => publishMany([{ type: "thing" }, { type: text }]),
  "an id to cancel": (text) => cancel(text),
  "an id to reply to": (text) => reply(text, "thing"),
  "a reply's pattern": (text) => reply(publish("thing"), text),
  "a subscription's name": (text) => subscribe({ name: text, pattern: "a", to: { plugin: "b" } }),
  "a subscription's pattern": (text) => subscribe({ name: "a", pattern: text, to: { plugin: "b" } }),
  "a subscription's plugin": (text) => subscribe({ name: "a", pattern: "a", to: { plugin: text } }),
  "a webhook": (text) => subscribe({ name: "a", pattern: "a", to: { webhook: text, secret: text } }),
  "an ordering key": (text) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, orderingKey: text }),
  "a filter": (text) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, filters: [{ exact: { a: text } }] }),
  "a cause": (text) =>
    subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, retry: { maxAttempts: 1, nonRetryable: [text] } }),
  "unsubscribe": (text) => unsubscribe(text),
  "a method": (text) => client.send(text, "https://a.example/"),
  "an address": (text) => client.get(`https://a.example/${text}`),
  "a header's name": (text) => client.get("https://a.example/", { headers: { [text]: "a" } }),
  "a header's value": (text) => client.get("https://a.example/", { headers: { a: text } }),
  "a body in text": (text) => client.post("https://a.example/", { text }),
  "a body in JSON": (text) => client.post("https://a.example/", { json: { [text]: text } }),
  "a reason to retry": (text) => {
    throw retry(text);
  },
  "a reason to reject": (text) => {
    throw reject(text);
  },
  "an error": (text) => {
    throw new RangeError(text, { cause: new Error(text) });
  },
  "what is thrown": (text) => {
    throw { [text]: text };
  },
};

/** The texts in a value. */
function* texts(value) {
  if (typeof value === "string") yield value;
  else if (ArrayBuffer.isView(value)) return;
  else if (value !== null && typeof value === "object")
    for (const [name, field] of Object.entries(value)) yield* [name, ...texts(field)];
}

/** A host that records texts that are not valid in UTF-8. The engine's glue code would trap. */
function strict(seam, noted) {
  const check = (name, given) => {
    for (const text of texts(given)) if (!text.isWellFormed()) noted.push(`${name}: ${JSON.stringify(text)}`);
  };
  const entries = Object.entries(seam).map(([name, call]) => {
    return [name, (...given) => (check(name, given), call(...given))];
  });
  return Object.fromEntries(entries);
}

/** A plugin whose handler and route make a call, on such a host. */
function calling(call) {
  const self = plugin({ name: "things", publishes: [">"], subscribes: [">"] }).on("thing", call);
  return self.route("POST /thing", call);
}

/** The texts that a call passes to the host and that are not valid in UTF-8. */
function uncarried(act) {
  const noted = [];
  const fake = new FakeHost(plugin({ name: "things", publishes: [">"], subscribes: [">"] })).answers("*");
  return fake.run(() => {
    const seam = install(null);
    install(strict(seam, noted));
    let left;
    try {
      left = act();
    } catch (thrown) {
      // What is thrown to the glue is the contract's own, and anything else a fault of the SDK.
      if (thrown instanceof Error) throw thrown;
      left = thrown;
    } finally {
      install(seam);
    }
    for (const text of texts(left)) if (!text.isWellFormed()) noted.push(`left: ${JSON.stringify(text)}`);
    return noted;
  });
}

for (const [place, call] of Object.entries(CALLS)) {
  test(`${place} may be any text: it becomes valid UTF-8, or an exception`, () => {
    for (const [name, text] of Object.entries(TEXTS)) {
      const event = { id: "1", source: "/a", type: "thing", extensions: [], data: null };
      const delivery = { event, subscription: "thing", attempt: 1, replay: false };
      const request = { method: "POST", route: "/thing", path: "/thing", params: [], query: null, headers: [] };
      for (const act of [
        () => calling(() => void call(text)).deliver(delivery),
        () => calling(() => (call(text), { headers: { a: "b" } })).respond({ ...request, body: new Uint8Array() }),
      ]) {
        assert.deepEqual(uncarried(act), [], name);
      }
    }
  });
}

test("identifiers are refused and not changed, since two different ones could become equal", () => {
  const host = new FakeHost(plugin({ name: "things" }));
  host.run(() => {
    for (const name of ["state.get", "state.set", "config.get", "a type", "unsubscribe", "a header's name"])
      assert.throws(() => CALLS[name]("\ud800"), /TypeError.*lone surrogate/, name);
  });
});

test("a response's texts are valid UTF-8, or it is a failure with a reason", () => {
  for (const text of Object.values(TEXTS)) {
    for (const answer of [
      { text },
      { json: { [text]: text } },
      { headers: { a: text } },
      { headers: { [text]: "a" } },
    ]) {
      for (const handler of [() => answer, () => { throw new Problem(409, text, { code: text }); }]) {
        const host = new FakeHost(plugin({ name: "things" }).route("GET /a", handler));
        const response = host.request("GET /a");
        for (const told of [response.text(), ...texts(response.headers)]) assert.ok(told.isWellFormed());
      }
    }
  }
});

/** Numbers in the contract's calls, which the engine's glue code would wrap or round. */
const NUMBERS = {
  concurrency: (value) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, concurrency: value }),
  position: (value) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, start: { position: value } }),
  attempts: (value) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, retry: { maxAttempts: value } }),
  factor: (value) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, retry: { backoffMultiplier: value } }),
  firstDelay: (value) => subscribe({ name: "a", pattern: "a", to: { plugin: "b" }, retry: { initialDelay: value } }),
  delay: (value) => publish("thing", 1, { delay: value }),
  timeout: (value) => client.get("https://a.example/", { timeout: value }),
  reply: (value) => reply(publish("thing"), "thing", value),
  increment: (value) => state.increment("count", value),
  randomBytes: (value) => randomBytes(value),
  maxBacklog: (value) => plugin({ name: "a" }).on("a", { maxBacklog: value }, () => {}).describe(),
  status: (value) => new Problem(value, ""),
};

for (const [name, call] of Object.entries(NUMBERS)) {
  test(`${name} is a number that the contract has, or an exception`, () => {
    const host = new FakeHost(plugin({ name: "things", publishes: [">"], subscribes: [">"] })).answers("*");
    for (const value of [NaN, Infinity, -1.5, 1e300, 2 ** 64, "many", {}, true])
      assert.throws(() => host.run(() => call(value)), /TypeError/, `${name} ${String(value)}`);
  });
}

test("a sum that a number cannot represent exactly is not rounded", () => {
  const max = Number.MAX_SAFE_INTEGER;
  const host = new FakeHost(plugin({ name: "things" }), { state: { count: max - 1 } });
  host.run(() => {
    assert.equal(state.increment("count"), max);
    assert.throws(() => state.increment("count"), /2\^53/);
    assert.throws(() => state.increment("count", 2 ** 53), /integer/);
    assert.throws(() => state.increment("count", 0.5), /integer/);
  });
});
