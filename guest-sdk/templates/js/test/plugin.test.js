import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeHost } from "@sandbus/sdk/testing";

import plugin from "../src/plugin.js";
[[on]]

test("an event is counted", () => {
  const host = new FakeHost(plugin);
  assert.deepEqual(host.deliver("{{example}}", { name: "Ada" }), { outcome: "ack" });
  assert.deepEqual(host.state, { handled: 1 });
});
[[end]]
[[route]]

test("a request is answered with the count", () => {
  const host = new FakeHost(plugin, { state: { handled: 3 } });
  const answer = host.request("{{target}}");
  assert.deepEqual(answer.json(), { handled: 3 });
});
[[end]]
