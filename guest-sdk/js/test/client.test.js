import assert from "node:assert/strict";
import { test } from "node:test";

import * as client from "../src/client.js";
import { plugin } from "../src/index.js";
import { FakeHost } from "../src/testing.js";

const rates = plugin({ name: "rates" }).on("order.placed", ({ url }, event) => {
  const { chf } = client
    .post(url, { json: { id: event.id }, headers: { Authorization: "x" } })
    .success()
    .json();
  assert.equal(chf, 0.5);
});

test("requests get the test's responses and are recorded", () => {
  const host = new FakeHost(rates).answers("POST https://a.example/*", { json: { chf: 0.5 } });
  assert.deepEqual(host.deliver("order.placed", { url: "https://a.example/rates" }), { outcome: "ack" });
  const [{ method, url, headers, body }] = host.sent;
  assert.deepEqual([method, url], ["POST", "https://a.example/rates"]);
  assert.deepEqual(headers, { authorization: "x", "content-type": "application/json" });
  assert.equal(new TextDecoder().decode(body), '{"id":"event"}');
});

test("a failed request is retried only if that can help", () => {
  const outcome = (status) => {
    const host = new FakeHost(rates).answers("POST https://a.example/rates", { status, text: "why" });
    return host.deliver("order.placed", { url: "https://a.example/rates" });
  };
  assert.deepEqual(outcome(503), { outcome: "retry", reason: "the request was answered 503: why", delayMs: undefined, cause: "request" });
  assert.equal(outcome(429).outcome, "retry");
  assert.equal(outcome(404).outcome, "reject");
  assert.equal(new FakeHost(rates).deliver("order.placed", { url: "https://b.example" }).outcome, "retry");
});

test("an option that does not exist is named", () => {
  const host = new FakeHost(rates);
  assert.throws(() => host.run(() => client.get("https://a.example", { jsn: 1 })), /jsn/);
});
