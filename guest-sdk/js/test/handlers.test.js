import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  Problem,
  cancel,
  config,
  log,
  now,
  plugin,
  publish,
  publishMany,
  reject,
  reply,
  retry,
  state,
  subscribe,
  unsubscribe,
} from "@sandbus/sdk";
import * as client from "@sandbus/sdk/client";
import { FakeHost } from "@sandbus/sdk/testing";

/** A host with a plugin that handles `thing`. */
function handling(handler, options = {}) {
  return new FakeHost(
    plugin({ name: "things", publishes: ["thing.>"], subscribes: [">"], ...options }).on("thing", handler),
  );
}

test("an acknowledged delivery keeps its effects", () => {
  const host = handling((thing, event) => {
    log.info("got", thing, event.attempt);
    state.set("last", thing);
    state.increment("count", 2);
    publish("thing.seen", { of: event.id }, { subject: "s", extensions: { tenant: "t" }, delay: "1m" });
  });
  assert.deepEqual(host.deliver("thing", { a: "ä" }, { attempt: 2 }), { outcome: "ack" });
  assert.deepEqual(host.state, { last: { a: "ä" }, count: 2 });
  assert.deepEqual(host.logs, ['got {"a":"ä"} 2']);
  const [seen] = host.published;
  assert.deepEqual(
    [seen.type, seen.data, seen.subject, seen.extensions],
    ["thing.seen", { of: "event" }, "s", { tenant: "t" }],
  );
  assert.equal(seen.due - host.now, 60_000);
});

test("an error that is returned counts as thrown", () => {
  const host = handling(() => {
    state.set("a", 1);
    return reject("never");
  });
  assert.deepEqual(host.deliver("thing", {}), { outcome: "reject", reason: "never" });
  assert.deepEqual(host.state, {});
});

test("values that no host accepts are refused or converted before the call", () => {
  const host = handling((half) => {
    log.info(half);
    state.increment("total", 9.99);
  });
  const ended = host.deliver("thing", "a\ud83d");
  assert.match(ended.reason, /the number to add to `total` must be an integer, not 9.99/);
  assert.deepEqual(host.logs, ["a\ufffd"]);
});

test("numbers are added to, and a failed run leaves a gap in its sequence", () => {
  const drawn = [];
  const host = handling((data) => {
    state.add("count", 2);
    state.add("none", 0);
    drawn.push(state.sequence("orders"));
    if (data.fails) throw retry("not yet");
    assert.equal(state.get("count"), state.increment("count", 0));
  });
  for (const fails of [false, true, false]) host.deliver("thing", { fails });
  assert.deepEqual([host.state, drawn], [{ count: 4 }, [1, 2, 3]]);
});

test("a failed delivery has no effects, and says why", () => {
  for (const [thrown, expected] of [
    [retry("not yet", { delay: "5s" }), { outcome: "retry", reason: "not yet", delayMs: 5_000 }],
    [retry("not yet"), { outcome: "retry", reason: "not yet", delayMs: undefined }],
    [reject("never"), { outcome: "reject", reason: "never" }],
  ]) {
    const host = handling(() => {
      state.set("a", 1);
      publish("thing.seen", {});
      throw thrown;
    });
    assert.deepEqual(host.deliver("thing", {}), expected);
    assert.deepEqual([host.state, host.published], [{}, []]);
  }
});

test("an uncaught error is retried, and its reason has causes and the handler's lines", () => {
  const host = handling(function broken() {
    throw new Error("the mail server is away", { cause: new RangeError("port") });
  });
  const { outcome, reason } = host.deliver("thing", {});
  assert.equal(outcome, "retry");
  assert.match(reason, /^uncaught Error: the mail server is away\n    at broken .*handlers\.test\.js/);
  assert.match(reason, /caused by RangeError: port/);
});

test("an asynchronous handler is awaited, and its effects are kept or discarded", async () => {
  const host = handling(async ({ fails }) => {
    await Promise.resolve();
    state.set("last", fails);
    if (fails) throw reject("never");
  });
  assert.deepEqual(await host.deliver("thing", { fails: false }), { outcome: "ack" });
  assert.deepEqual(await host.deliver("thing", { fails: true }), { outcome: "reject", reason: "never" });
  assert.deepEqual(host.state, { last: false });
  const response = await routed("GET /", async () => ({ text: await "later" })).request("GET /");
  assert.equal(response.text(), "later");
});

test("data that does not fit and calls that the bus refuses reject the delivery", () => {
  const host = handling(() => {});
  const unreadable = host.deliver("thing", new TextEncoder().encode("{"), { contentType: "application/json" });
  assert.equal(unreadable.outcome, "reject");
  const refused = handling(() => publish("other", {})).deliver("thing", {});
  assert.match(refused.reason, /does not declare `other`/);
  assert.equal(refused.outcome, "reject");
});

test("data is decoded by its media type", () => {
  const seen = [];
  const host = handling((data) => seen.push(data));
  host.deliver("thing", "plain", { contentType: "text/plain" });
  host.deliver("thing", new Uint8Array([1]), { contentType: "image/png" });
  host.deliver("thing", undefined);
  host.deliver("thing", [1], { contentType: "application/cloudevents+json" });
  host.deliver("thing", null, { contentType: "foo/json" });
  host.deliver("thing", new Uint8Array([0xff]));
  host.deliver("thing", new Uint8Array([0xe4]), { contentType: "text/plain; charset=iso-8859-1" });
  const expected = ["plain", new Uint8Array([1]), undefined, [1], null, new Uint8Array([0xff]), new Uint8Array([0xe4])];
  assert.deepEqual(seen, expected);
});

test("a delayed event can be cancelled until it is due", () => {
  const host = handling((id) =>
    id ? cancel(id) : publish("thing.late", undefined, { at: new Date(host.now.getTime() + 1_000) }),
  );
  host.deliver("thing", undefined);
  host.deliver("thing", undefined);
  const [first, second] = host.published;
  host.deliver("thing", first.id);
  assert.deepEqual(
    host.published.map(({ id }) => id),
    [second.id],
  );
  host.advance(1_000);
  host.deliver("thing", second.id);
  assert.equal(host.published.length, 1);
});

test("subscriptions are created and deleted", () => {
  const host = handling((thing) => {
    if (thing === "stop") return unsubscribe("hook");
    subscribe({
      name: "hook",
      pattern: "thing.>",
      to: { webhook: "https://example.com", secret: "s" },
      orderingKey: "subject",
      start: new Date(0),
    });
    assert.throws(() => subscribe({ name: "none", pattern: "thing" }), /has no target/);
  });
  host.deliver("thing", "start");
  const { hook } = host.subscriptions;
  assert.deepEqual(hook.target, { tag: "webhook", val: { url: "https://example.com", secret: "s", handshake: false } });
  assert.deepEqual([hook.orderingKey, hook.start], ["subject", { tag: "time", val: "1970-01-01T00:00:00.000Z" }]);
  host.deliver("thing", "stop");
  assert.deepEqual(host.subscriptions, {});
});

test("state, configuration, clock and batches", () => {
  const host = new FakeHost(
    plugin({ name: "things", publishes: ["thing"], config: { greeting: "Hello", token: null } }).on("thing", () => {
      assert.equal(state.get("nothing"), undefined);
      assert.equal(state.exists("kept"), true);
      state.delete("kept");
      state.set("b/1", 1);
      state.set("b/2", null);
      assert.deepEqual(state.keys("b/"), ["b/1", "b/2"]);
      assert.equal(state.get("b/2"), null);
      assert.throws(() => state.set("c", undefined), TypeError);
      assert.throws(() => state.increment("text"), /not a number/);
      assert.throws(() => state.add("text"), /not a number/);
      assert.throws(() => state.add("text", 0.5), /integer/);
      assert.deepEqual([config.get("greeting"), config.get("token")], ["Hi", undefined]);
      assert.throws(() => config.require("token"), /\[config\]/);
      assert.equal(now().toISOString(), "2030-01-01T00:00:00.000Z");
      assert.equal(
        publishMany([
          { type: "thing", data: 1 },
          { type: "thing", data: 2, subject: "two" },
        ]).length,
        2,
      );
    }),
    { config: { greeting: "Hi" }, state: { kept: true, text: "x" } },
  );
  assert.deepEqual(host.deliver("thing", {}), { outcome: "ack" });
  assert.deepEqual(
    host.published.map(({ data, subject }) => [data, subject]),
    [
      [1, undefined],
      [2, "two"],
    ],
  );
});

test("a schedule's handler gets the scheduled time", () => {
  const host = new FakeHost(
    plugin({ name: "things" }).schedule("0 9 * * *", { name: "daily" }, ({ due }) => state.set("due", due)),
  );
  host.tick("daily", new Date("2030-01-02T09:00:00Z"));
  assert.deepEqual(host.state, { due: "2030-01-02T09:00:00.000Z" });
  assert.throws(() => host.tick("hourly"), /no schedule `hourly`/);
});

test("a delivery of a run-time subscription goes to the handler whose pattern matches", () => {
  const host = handling(() => state.set("handled", true));
  host.deliver("thing", {}, { subscription: "made-later" });
  assert.deepEqual(host.state, { handled: true });
  const { outcome } = host.deliver("other", {}, { subscription: "made-later" });
  assert.equal(outcome, "reject");
});

/** A host with a route. */
function routed(route, handler) {
  return new FakeHost(plugin({ name: "web", publishes: ["order.>"] }).route(route, handler));
}

test("a request reaches its route with parameters, query and body", () => {
  const host = routed("POST /hello/{name}", (request) => ({
    status: 201,
    json: {
      name: request.params.name,
      loud: request.query.loud,
      sent: request.json(),
      type: request.header("Content-Type"),
    },
    headers: { "X-Served-By": "web" },
  }));
  const response = host.request("POST /hello/Ada%20L?loud=a+b&loud=c", { json: [1] });
  assert.equal(response.status, 201);
  assert.deepEqual(response.json(), { name: "Ada L", loud: "a b", sent: [1], type: "application/json" });
  assert.deepEqual(response.headers, { "content-type": "application/json", "x-served-by": "web" });
  assert.throws(() => host.request("GET /hello/Ada"), /no route/);
});

test("responses are JSON, text, bytes or nothing", () => {
  for (const [answer, status, type, text] of [
    [undefined, 204, undefined, ""],
    [{ text: "ä" }, 200, "text/plain; charset=utf-8", "ä"],
    [{ body: new Uint8Array([65]), headers: { "content-type": "x/y" } }, 200, "x/y", "A"],
  ]) {
    const response = routed("GET /", () => answer).request("GET /");
    assert.deepEqual([response.status, response.headers["content-type"], response.text()], [status, type, text]);
  }
  const host = routed("GET /", () => ({ message: "x" }));
  assert.equal(host.request("GET /").status, 500);
  assert.match(host.logs[0], /route GET \/: .*a value is wrapped in \{ json \}/);
});

test("a problem is the response and discards the effects", () => {
  for (const [thrown, status, detail] of [
    [new Problem(409, "taken", { code: "already-taken" }), 409, "taken"],
    [retry("busy"), 503, "busy"],
    [reject("bad"), 422, "bad"],
    [new Error("the password is 1234"), 500, "the handler failed; see the host's log"],
  ]) {
    const host = routed("POST /x", () => {
      state.set("a", 1);
      throw thrown;
    });
    const response = host.request("POST /x", { json: {} });
    assert.deepEqual([response.status, response.json().detail, host.state], [status, detail, {}]);
    assert.equal(response.headers["content-type"], "application/problem+json");
    assert.equal(host.logs.length, status === 500 ? 1 : 0);
  }
});

test("a body that is not JSON is the client's problem", () => {
  const host = routed("POST /x", (request) => ({ json: request.json() }));
  assert.equal(host.request("POST /x", { body: "{" }).status, 422);
  assert.equal(host.request("POST /x", { body: "x", headers: { "content-type": "text/plain" } }).status, 415);
});

test("a route can wait for a reply to an event that it published", () => {
  const host = routed("POST /orders", (request) =>
    reply(publish("order.placed", request.json()), "order.priced", "2s"),
  );
  assert.equal(host.request("POST /orders", { json: {} }).status, 200);
  assert.deepEqual(host.replies, [{ id: "event-1", pattern: "order.priced", timeoutMs: 2_000 }]);
});

test("the message of a common mistake names it", () => {
  for (const [act, reason] of [
    [() => { throw retry(); }, /the handler gave no reason/],
    [() => { throw retry("x", { dealy: "5s" }); }, /retry: unknown option `dealy`/],
    [() => { throw retry("x", "5s"); }, /retry: the options must be an object, not string/],
    [() => publish("thing", 1, null), /the options must be an object, not null/],
    [() => publishMany([null]), /event 0 is null/],
    [() => state.set("", 1), /a key of the state must not be empty/],
    [() => state.sequence(""), /the name of a sequence must not be empty/],
    [() => config.get(""), /must not be empty/],
    [() => cancel(""), /the id of an event must not be empty/],
    [() => subscribe({ name: "a", pattern: "a", to: { plugin: "" } }), /must not be empty/],
    [() => client.get({ href: "https://a.example" }), /must be a string, not object/],
    [() => { throw new AggregateError([new Error("one"), new TypeError("two")], "both"); }, /both[^]*one of them Error: one[^]*one of them TypeError: two/],
    [() => { throw new RangeError("Maximum call stack size exceeded"); }, /calls itself/],
  ]) assert.match(handling(() => void act()).deliver("thing", {}).reason, reason);
});

test("attributes that the host sets are dropped from what is published, as in the table", () => {
  const url = new URL("../../conformance/host-attributes.json", import.meta.url);
  const { names, prefixes, others } = JSON.parse(readFileSync(url, "utf8"));
  const reserved = [...names, ...prefixes.flatMap((prefix) => [prefix, `${prefix}x`])];
  const given = Object.fromEntries([...reserved, ...others].map((name) => [name, "1"]));
  const host = handling(() => publish("thing.seen", {}, { extensions: given }));
  host.deliver("thing", {});
  assert.deepEqual(Object.keys(host.published[0].extensions), others);
});
